package drill

import (
	"context"
	"math/rand/v2"
)

// A Scenario is a story that must end well.
type Scenario struct {
	Name      string
	about     string // what happens, and what must hold, in a sentence
	simulated string // how, where it is not the real thing
	Steps     []Step
	// Choose draws the steps of each round instead. May be nil.
	choose func(rng *rand.Rand) []Step
}

// A Step is a part of a scenario. It returns when what it is about has come true.
type Step func(ctx context.Context, r *Run) error

// Scenarios are all of them, in the order in which "all" plays them.
func Scenarios() []Scenario {
	return []Scenario{
		switchover, primaryKilled, primaryRestarted, primaryFrozen, partition, secondaryReplaced, slowDisk, fullDisk,
		clockJump, packDuringFailover, oldPrimaryReturning,
	}
}

// Mixed is a scenario of several of the others on one cluster, one after the other: those that change the primary.
func Mixed() Scenario {
	return Scenario{
		Name:  "mixed",
		about: "Scenarios that change the primary, drawn from the seed, one after the other on the same nodes.",
		choose: func(rng *rand.Rand) (steps []Step) {
			failovers := []Scenario{
				switchover, primaryKilled, primaryFrozen, partition, clockJump, packDuringFailover, oldPrimaryReturning,
			}
			for range stories {
				steps = append(steps, failovers[rng.IntN(len(failovers))].Steps...)
			}
			return steps
		},
	}
}

// stories are how many scenarios a mixed one has.
const stories = 8

var switchover = Scenario{
	Name: "switchover",
	about: "Over links with some delay, the primary hands over to a secondary, and that one to another one: " +
		"nothing is lost, and clients continue by themselves.",
	simulated: "a proxy between the nodes delays their messages by some milliseconds",
	Steps:     []Step{commitsGoOn, lag, handOver, commitsGoOn, redundancy, handOver, commitsGoOn, heal, redundancy},
}

var primaryKilled = Scenario{
	Name: "primary-killed",
	about: "The primary is killed (SIGKILL) and a secondary promoted; later the former primary is started again " +
		"and becomes a secondary.",
	Steps: []Step{commitsGoOn, killPrimary, promote, commitsGoOn, startFormer, redundancy},
}

var primaryRestarted = Scenario{
	Name:  "primary-restarted",
	about: "The primary is killed (SIGKILL) and started again, and nobody is promoted: nothing at all is lost.",
	Steps: []Step{commitsGoOn, killPrimary, startPrimary, commitsGoOn, redundancy},
}

// startPrimary starts the primary again.
func startPrimary(ctx context.Context, r *Run) error {
	r.endPrimaryPeriod()
	r.note(noteEvent, "%s is started again", r.primary.Name)
	if err := r.primary.Start(); err != nil {
		return err
	}
	if err := r.primary.Await(ctx, "is open", isReady); err != nil {
		return err
	}
	r.beginPrimaryPeriod(r.primary)
	return nil
}

var primaryFrozen = Scenario{
	Name: "primary-frozen",
	about: "The primary is frozen (SIGSTOP) with all its connections and a secondary promoted; then the former " +
		"primary is continued (SIGCONT) and must take no more transactions.",
	Steps: []Step{commitsGoOn, freezePrimary, promote, commitsGoOn, wakeFormer, commitsGoOn, redundancy},
}

func freezePrimary(ctx context.Context, r *Run) error {
	r.fault("%s is frozen", r.primary.Name)
	return r.primary.Freeze(ctx)
}

func wakeFormer(_ context.Context, r *Run) error {
	r.note(noteEvent, "%s is continued", r.former.Name)
	return r.former.Wake()
}

var secondaryReplaced = Scenario{
	Name: "secondary-lost-and-replaced",
	about: "A secondary is killed and its storage lost; an empty one takes its place, and the primary serves " +
		"throughout.",
	Steps: []Step{commitsGoOn, loseSecondary, commitsGoOn, redundancy},
}

func loseSecondary(_ context.Context, r *Run) error {
	n := r.pick()
	r.fault("%s is killed, with its storage", n.Name)
	if err := n.Kill(); err != nil {
		return err
	}
	return r.replace(n, "its storage is lost")
}
