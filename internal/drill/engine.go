package drill

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/workload"
)

// Options say how to play.
type Options struct {
	Binary string // zrsd
	Dir    string // for everything, with a short path because of the sockets in it; it must be there
	Seed   uint64

	Pythons  []string      // interpreters that have ZEO: real clients commit as well; none: they do not
	Sync     int           // secondaries that commits wait for; at most MaxSync
	Duration time.Duration // each scenario is played again on the same cluster until so much time has passed

	writers     int           // default 4
	StepTimeout time.Duration // for which a step may take to come true; default 2 min
	CallTimeout time.Duration // of the clients; default 2 s
	Tell        func(text string)
}

func (o *Options) fill() {
	if o.writers <= 0 {
		o.writers = 4
	}
	if o.StepTimeout <= 0 {
		o.StepTimeout = 2 * time.Minute
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 2 * time.Second
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
}

// Play plays scenarios, each with a cluster of its own, and reports. The error is what kept it from being played, and
// the end of ctx; what did not go as it should is in the report.
func Play(ctx context.Context, scenarios []Scenario, opt Options) (*Report, error) {
	return perform(ctx, scenarios, &opt, &localTarget{opt.Binary, opt.Sync})
}

// PlayOn runs scenarios on an existing cluster, whose primary is the first of the places. Binary and Sync
// are not used. It commits: to objects that it makes.
func PlayOn(ctx context.Context, scenarios []Scenario, places []cluster.Address, opt Options) (*Report, error) {
	rep, err := perform(ctx, scenarios, &opt, &remoteTarget{places})
	if rep != nil {
		rep.Staging = true
	}
	return rep, err
}

func perform(ctx context.Context, scenarios []Scenario, opt *Options, at target) (*Report, error) {
	opt.fill()
	rep := &Report{Seed: opt.Seed, Sync: opt.Sync, Begun: time.Now().UTC(), Folder: opt.Dir, Held: true}
	for i := range scenarios {
		s := &scenarios[i]
		out := &Outcome{Name: s.Name, About: s.about, Simulated: s.simulated}
		opt.Tell(fmt.Sprintf("%s: %s", s.Name, s.about))
		if err := play(ctx, s, opt, at, out); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		opt.Tell(out.brief())
		rep.Scenarios = append(rep.Scenarios, *out)
		rep.Held = rep.Held && out.Held
	}
	return rep, nil
}

// play plays one scenario.
func play(ctx context.Context, s *Scenario, opt *Options, at target, out *Outcome) (err error) {
	r, lines, err := prepare(ctx, s, opt, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(), lines.Close()) }()
	failed := r.perform(ctx, s, opt, at, out)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out.fill(r)
	if failed != nil {
		out.Error = failed.Error()
		r.note(noteEvent, "failed: %v", failed)
	}
	ops, err := r.load.Log.Close()
	if err != nil {
		return err
	}
	out.Events, out.PrimaryPeriods = r.events, r.periods
	return out.judge(ctx, r, at, ops)
}

// prepare makes a cluster that may not run yet, and its clients.
func prepare(ctx context.Context, s *Scenario, opt *Options, at target) (*Run, *os.File, error) {
	dir := filepath.Join(opt.Dir, s.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	name := fnv.New64a()
	_, _ = name.Write([]byte(s.Name))                                                 // it never fails
	r := &Run{begun: time.Now(), rand: rand.New(rand.NewPCG(opt.Seed, name.Sum64()))} //nolint:gosec // to be repeated
	lines, err := os.OpenFile(filepath.Join(dir, "history.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if r.Cluster, err = at.cluster(ctx, dir); err != nil {
		return nil, nil, errors.Join(err, lines.Close())
	}
	r.load = &workload.Load{
		Writers: opt.writers, Seed: r.rand.Uint64(), Clock: r.clock, Log: consistency.NewLog(lines),
		Timeout: opt.CallTimeout, Pause: 10 * time.Millisecond,
	}
	for _, n := range r.Nodes {
		r.load.Targets = append(r.load.Targets, workload.Target{Node: n.Name, Addr: n.ZEO})
	}
	return r, lines, nil
}

// perform runs the cluster and its clients through the scenario, and stops them. It returns the step that did not come
// true.
func (r *Run) perform(ctx context.Context, s *Scenario, opt *Options, at target, out *Outcome) error {
	if err := r.within(ctx, opt, func(ctx context.Context) error { return r.start(ctx, at) }); err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer func() { out.Peers = r.peers.pauses() }()
	if err := r.within(ctx, opt, func(ctx context.Context) error { return r.bring(ctx, opt.Pythons) }); err != nil {
		return errors.Join(err, r.peers.leave())
	}
	working, end := context.WithCancel(ctx)
	var clients sync.WaitGroup
	clients.Go(func() { r.load.Run(working) })
	failed := r.rounds(ctx, s, opt, out)
	end()
	clients.Wait()
	failed = errors.Join(failed, r.peers.leave())
	if !at.mayLose() {
		failed = errors.Join(failed, r.peers.lost())
	}
	if failed != nil {
		return failed
	}
	return r.within(ctx, opt, func(ctx context.Context) error {
		if err := redundancy(ctx, r); err != nil { // of the last commits
			return err
		}
		return at.close(ctx, r)
	})
}

// rounds plays the scenario once or, with a duration, until that has passed.
func (r *Run) rounds(ctx context.Context, s *Scenario, opt *Options, out *Outcome) error {
	for {
		out.Rounds++
		steps := s.Steps
		if s.choose != nil {
			steps = s.choose(r.rand)
		}
		for i, step := range steps {
			err := r.within(ctx, opt, func(ctx context.Context) error { return step(ctx, r) })
			if err != nil {
				return fmt.Errorf("round %d, step %d of %d: %w", out.Rounds, i+1, len(steps), err)
			}
		}
		ended := time.Now()
		if err := r.within(ctx, opt, func(ctx context.Context) error { return r.peers.goOn(ctx, ended) }); err != nil {
			return fmt.Errorf("round %d: %w", out.Rounds, err)
		}
		if time.Since(r.begun) >= opt.Duration {
			return nil
		}
	}
}

func (r *Run) within(ctx context.Context, opt *Options, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, opt.StepTimeout)
	defer cancel()
	return do(ctx)
}

// start has the nodes run and makes the objects.
func (r *Run) start(ctx context.Context, at target) error {
	r.primary = r.Nodes[0]
	if err := at.open(ctx, r); err != nil {
		return err
	}
	if err := r.load.Setup(ctx); err != nil {
		return err
	}
	r.periods = []consistency.PrimaryPeriod{{Node: r.primary.Name}}
	r.note(roleEvent, "%s is primary", r.primary.Name)
	return nil
}
