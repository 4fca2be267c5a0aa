package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// The phases of the test: how long the application runs in each.
const (
	actLive = 3 * time.Second
	actDown = 4 * time.Second

	glance      = 500 * time.Millisecond // between two looks at the lag
	quickGlance = 50 * time.Millisecond  // while it falls
)

// A story is the cast: an application with its database, and the processes that replicate it.
type story struct {
	dir     string
	binary  string
	app     application
	primary *node
	one     *node
	two     *node
}

func newStory(ctx context.Context, dir string) (*story, error) {
	s := &story{dir: dir}
	say("Building zrsd")
	var err error
	if s.binary, err = daemon.Build(ctx, ".", dir); err != nil {
		return nil, err
	}
	for name, n := range map[string]**node{"primary": &s.primary, "one": &s.one, "two": &s.two} {
		if *n, err = newNode(ctx, s.binary, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *story) close() error {
	err := errors.Join(s.two.kill(), s.one.kill())
	if s.app != nil {
		_ = s.app.close() // how it went is known
	}
	return errors.Join(err, s.primary.kill())
}

func (s *story) tell(ctx context.Context) error {
	for _, act := range []func(context.Context) error{s.start, s.live, s.crash, s.comeBack, s.verdict} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) start(ctx context.Context) error {
	begin := s.beginWithOwner
	if havePython() {
		begin = s.beginWithClient
	}
	if err := begin(ctx); err != nil {
		return err
	}
	say("Starting two secondaries")
	if err := s.one.start("secondary", "--replicate-from", s.primary.addr); err != nil {
		return err
	}
	if err := s.two.start("secondary", "--replicate-from", s.one.addr); err != nil {
		return err
	}
	for _, n := range []*node{s.one, s.two} {
		if err := n.process.Up(ctx); err != nil {
			return err
		}
	}
	note("secondary 1  pid %-7d follows the primary, serves secondaries at %s", s.one.pid(), s.one.addr)
	note("secondary 2  pid %-7d follows secondary 1", s.two.pid())
	return nil
}

// beginWithOwner lets an application own the files, and the primary follow them.
func (s *story) beginWithOwner(ctx context.Context) (err error) {
	note("(There are no Python packages in .venv: with them, see make venv, a real ZEO client would write.)")
	say("An application makes a database: %d objects, %d blobs", shape.Objects, shape.Blobs)
	if s.app, err = openOwner(ctx, s.primary); err != nil {
		return err
	}
	if err := s.primary.start("primary", "--attach"); err != nil {
		return err
	}
	say("Starting a primary beside it")
	note(
		"primary      pid %-7d follows the application's Data.fs, serves secondaries at %s",
		s.primary.pid(),
		s.primary.addr,
	)
	return s.primary.process.Up(ctx)
}

// beginWithClient lets a real ZEO client write to the primary.
func (s *story) beginWithClient(ctx context.Context) error {
	address, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return err
	}
	if err := s.primary.makeEmpty(ctx); err != nil {
		return err
	}
	say("Starting a primary, which serves ZEO clients")
	if err := s.primary.start("primary", "--zeo", address); err != nil {
		return err
	}
	if err := s.primary.process.Up(ctx); err != nil {
		return err
	}
	note(
		"primary      pid %-7d for ZEO clients on %s, serves secondaries at %s",
		s.primary.pid(),
		address,
		s.primary.addr,
	)
	say("A Python process with the real ZEO makes a database: %d objects, %d blobs", shape.Objects, shape.Blobs)
	app, err := startClient(ctx, address, s.dir)
	if err != nil {
		return err
	}
	s.app = app
	return nil
}

func (s *story) live(ctx context.Context) error {
	say("The application commits, about 100 transactions per second")
	if err := s.app.begin(ctx); err != nil {
		return err
	}
	return s.watch(ctx, actLive)
}

func (s *story) crash(ctx context.Context) error {
	say("kill -9 %d: secondary 1 is gone, the application does not notice", s.one.pid())
	if err := s.one.kill(); err != nil {
		return err
	}
	return s.watch(ctx, actDown)
}

func (s *story) comeBack(ctx context.Context) error {
	if err := s.one.start("secondary", "--replicate-from", s.primary.addr); err != nil {
		return err
	}
	say("Secondary 1 is started again, pid %d; the application still commits", s.one.pid())
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	if err := s.watch(ctx, actLive); err != nil {
		return err
	}
	last, err := s.app.stop()
	if err != nil {
		return err
	}
	say("The application rests, after %d transactions, the last one %v", s.app.history().committed(), last)
	for _, n := range []*node{s.primary, s.one, s.two} {
		if err := n.reached(ctx, last); err != nil {
			return err
		}
	}
	s.glance(ctx)
	return nil
}

// watch shows the lag for a while. It ends early when the application fails.
func (s *story) watch(ctx context.Context, act time.Duration) error {
	end := time.NewTimer(act)
	defer end.Stop()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.glance(ctx)
		case <-end.C:
			return nil
		case <-s.app.history().failed:
			_, err := s.app.stop()
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// catchUp shows the lag in quick succession until it is zero.
func (s *story) catchUp(ctx context.Context) error {
	tick := time.NewTicker(quickGlance)
	defer tick.Stop()
	for s.glance(ctx) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// glance prints one line: how many transactions the application has made, and how many each secondary lacks. It returns
// the larger one of those, and one where a secondary does not answer.
func (s *story) glance(ctx context.Context) int {
	committed := s.app.history().committed()
	first, one := s.behind(ctx, s.one)
	second, two := s.behind(ctx, s.two)
	note("committed %5d   secondary 1 %-16s   secondary 2 %s", committed, first, second)
	return max(one, two)
}

func (s *story) behind(ctx context.Context, n *node) (text string, missing int) {
	if n.process == nil {
		return "is down", 1
	}
	status, err := n.process.Status(ctx)
	if err != nil {
		return "does not answer", 1
	}
	if missing = s.app.history().after(status.LastTid()); missing == 0 {
		return "has all of them", 0
	}
	return fmt.Sprintf("lacks %d", missing), missing
}

// verdict stops everything and lets zrsd compare the files.
func (s *story) verdict(ctx context.Context) error {
	say("Stopping all processes and comparing the three databases")
	if err := s.app.close(); err != nil {
		return err
	}
	for _, n := range []*node{s.two, s.one, s.primary} {
		if err := n.stop(ctx); err != nil {
			return err
		}
	}
	for _, n := range []*node{s.one, s.two} {
		if err := compare(ctx, s.binary, s.primary, n); err != nil {
			return err
		}
	}
	told := s.app.history().all()
	if err := s.primary.mustHave(ctx, told); err != nil {
		return err
	}
	say("All three are the same: every transaction, every object, every blob.\n"+
		"The %d commits that were acknowledged to the application are there.", len(told))
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

func note(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }
