package drill

import (
	"context"
	"math/rand/v2"
)

// A Scenario is a story that must end well.
type Scenario struct {
	Name      string
	About     string // what happens, and what must hold, in a sentence
	Simulated string // how, where it is not the real thing
	Steps     []Step
	// Choose draws the steps of each round instead. May be nil.
	Choose func(dice *rand.Rand) []Step
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
		About: "Scenarios that change the primary, drawn from the seed, one after the other on the same nodes.",
		Choose: func(dice *rand.Rand) (steps []Step) {
			failovers := []Scenario{
				switchover, primaryKilled, primaryFrozen, partition, clockJump, packDuringFailover, oldPrimaryReturning,
			}
			for range stories {
				steps = append(steps, failovers[dice.IntN(len(failovers))].Steps...)
			}
			return steps
		},
	}
}

// stories are how many scenarios a mixed one has.
const stories = 8
