package drill

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zrsd/zrsd/drill/cluster"
	"github.com/zrsd/zrsd/drill/history"
	"github.com/zrsd/zrsd/drill/workload"
	"github.com/zrsd/zrsd/zodb"
)

// Options say how to play.
type Options struct {
	Binary string // zrsd
	Dir    string // for everything, with a short path because of the sockets in it; it must be there
	Seed   uint64

	Sync     int           // secondaries that commits wait for; at most MaxSync
	Duration time.Duration // each scenario is played again on the same cluster until so much time has passed

	Writers     int           // default 4
	StepTimeout time.Duration // for which a step may take to come true; default 2 min
	CallTimeout time.Duration // of the clients; default 2 s
	Tell        func(text string)
}

func (o *Options) fill() {
	if o.Writers <= 0 {
		o.Writers = 4
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

// The objects of a drill of its own, and the counter. The root is none of them: clients of other kinds need it.
const (
	firstObject = zodb.Oid(1)
	objectCount = 5
)

// MaxSync is how many of its two secondaries the primary of a drill can wait for. With both, nothing could be committed
// after a failover until the former primary is back.
const MaxSync = 1

// nodeNames are those of the cluster: a primary and two secondaries, at first.
var nodeNames = []string{"a", "b", "c"}

// Play plays scenarios, each with a cluster of its own, and reports. The error is what kept it from being played, and
// the end of ctx; what did not go as it should is in the report.
func Play(ctx context.Context, scenarios []Scenario, opt Options) (*Report, error) {
	opt.fill()
	rep := &Report{Seed: opt.Seed, Sync: opt.Sync, Begun: time.Now().UTC(), Folder: opt.Dir, Held: true}
	for i := range scenarios {
		s := &scenarios[i]
		out := &Outcome{Name: s.Name, About: s.About, Simulated: s.Simulated, Impossible: s.Impossible}
		if s.Impossible == "" {
			opt.Tell(fmt.Sprintf("%s: %s", s.Name, s.About))
			if err := play(ctx, s, &opt, out); err != nil {
				return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
			}
			opt.Tell(out.Brief())
		}
		rep.Scenarios = append(rep.Scenarios, *out)
		rep.Held = rep.Held && (out.Held || s.Impossible != "")
	}
	return rep, nil
}

// play plays one scenario.
func play(ctx context.Context, s *Scenario, opt *Options, out *Outcome) (err error) {
	dir := filepath.Join(opt.Dir, s.Name)
	r, lines, err := prepare(ctx, s, opt, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(), lines.Close()) }()
	failed := r.perform(ctx, s, opt, out)
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
	out.Events, out.Reigns = r.events, r.reigns
	return out.judge(ctx, r, opt, ops)
}

// prepare makes a cluster that does not run yet, and its clients.
func prepare(ctx context.Context, s *Scenario, opt *Options, dir string) (*Run, *os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	name := fnv.New64a()
	_, _ = name.Write([]byte(s.Name))                                                 // it never fails
	r := &Run{begun: time.Now(), dice: rand.New(rand.NewPCG(opt.Seed, name.Sum64()))} //nolint:gosec // to be repeated
	lines, err := os.OpenFile(filepath.Join(dir, "history.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	r.Cluster, err = cluster.New(ctx, cluster.Options{
		Binary: opt.Binary, Dir: dir, Names: nodeNames, Args: opt.nodeArgs(),
	})
	if err != nil {
		return nil, nil, errors.Join(err, lines.Close())
	}
	r.load = &workload.Load{
		Counter: firstObject, Writers: opt.Writers, Seed: r.dice.Uint64(), Clock: r.clock,
		Log: history.NewLog(lines), Timeout: opt.CallTimeout, Pause: 10 * time.Millisecond,
	}
	for i := range objectCount {
		r.load.Objects = append(r.load.Objects, firstObject+1+zodb.Oid(i))
	}
	for _, n := range r.Nodes {
		r.load.Targets = append(r.load.Targets, workload.Target{Node: n.Name, Addr: n.ZEO})
	}
	return r, lines, nil
}

// nodeArgs are what all nodes are told about waiting for secondaries.
func (o *Options) nodeArgs() []string {
	if o.Sync == 0 {
		return nil
	}
	return []string{"--sync-secondaries", strconv.Itoa(o.Sync), "--sync-names", strings.Join(nodeNames, ",")}
}

// perform runs the cluster and its clients through the scenario, and stops them. It returns the step that did not come
// true.
func (r *Run) perform(ctx context.Context, s *Scenario, opt *Options, out *Outcome) error {
	if err := r.within(ctx, opt, (*Run).start); err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	working, end := context.WithCancel(ctx)
	var clients sync.WaitGroup
	clients.Go(func() { r.load.Run(working) })
	failed := r.rounds(ctx, s, opt, out)
	end()
	clients.Wait()
	if failed != nil {
		return failed
	}
	return r.within(ctx, opt, func(r *Run, ctx context.Context) error {
		if err := redundancy(ctx, r); err != nil { // of the last commits
			return err
		}
		return r.Stop(ctx, r.primary)
	})
}

// rounds plays the scenario once or, with a duration, until that has passed.
func (r *Run) rounds(ctx context.Context, s *Scenario, opt *Options, out *Outcome) error {
	for {
		out.Rounds++
		steps := s.Steps
		if s.Choose != nil {
			steps = s.Choose(r.dice)
		}
		for i, step := range steps {
			err := r.within(ctx, opt, func(r *Run, ctx context.Context) error { return step(ctx, r) })
			if err != nil {
				return fmt.Errorf("round %d, step %d of %d: %w", out.Rounds, i+1, len(steps), err)
			}
		}
		if time.Since(r.begun) >= opt.Duration {
			return nil
		}
	}
}

func (r *Run) within(ctx context.Context, opt *Options, do func(*Run, context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, opt.StepTimeout)
	defer cancel()
	return do(r, ctx)
}

// start starts the nodes and makes the objects.
func (r *Run) start(ctx context.Context) error {
	r.primary = r.Nodes[0]
	if err := r.Start(ctx); err != nil {
		return err
	}
	if err := r.load.Setup(ctx); err != nil {
		return err
	}
	r.reigns = []history.Reign{{Node: r.primary.Name}}
	r.note(roleEvent, "%s is primary", r.primary.Name)
	return nil
}
