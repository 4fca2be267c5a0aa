package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A SeedReport is how far a Seed is.
type SeedReport struct {
	Size  int64    // of the data file here
	Total int64    // what it will be
	Last  zodb.Tid // the last transaction here
	// Waits says why nothing comes at present. Empty: it does.
	Waits string
}

// An unseededError says that a Seed ended before everything was here.
type unseededError struct {
	why         string
	err         error // nil: only the words are known
	unreachable bool
}

func (e *unseededError) Error() string { return e.why }
func (e *unseededError) Unwrap() error { return e.err }

// Unreachable reports whether an error of Seed says that no node was reached, and whether that may be otherwise later
// although nobody changes anything.
func Unreachable(err error) (unreachable, hope bool) {
	var unseeded *unseededError
	if !errors.As(err, &unseeded) {
		return false, false
	}
	return unseeded.unreachable, unseeded.unreachable && unseeded.err == nil
}

// Seed makes a storage a copy of that of another node, without serving anybody, and returns when it has everything that
// the other had when it was reached. For so long it is a secondary, which can be interrupted at any time and resumes
// where it was. It fails when for patience nothing comes, and at once when no address gives hope.
func Seed(ctx context.Context, c SecondaryConfig, patience time.Duration, tell func(SeedReport)) error {
	c.seedEnds = true
	p := Process{Storages: []Storage{{Secondary: &c}}}
	p.Shared.Logger = c.Logger
	p.Shared.fill()
	m, err := p.Storages[0].member(&p)
	if err != nil {
		return err
	}
	release, err := loadAll(&p.Shared, []*member{m})
	if err != nil {
		return err
	}
	defer release()
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	ended := make(chan error, 1)
	go func() { ended <- besidesStop(running, m.session(running)) }()
	err = watchSeed(ctx, m, patience, tell, ended)
	stop(errStopped)
	return errors.Join(err, <-ended)
}

// seedLook is how often it is looked how far a seed is.
const seedLook = 100 * time.Millisecond

// watchSeed returns when the storage has everything, or when it will not have it.
func watchSeed(ctx context.Context, m *member, patience time.Duration, tell func(SeedReport), ended chan error) error {
	tick := time.NewTicker(seedLook)
	defer tick.Stop()
	goal := &seedGoal{patience: patience, moved: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			ended <- nil
			return err
		case now := <-tick.C:
			s := m.now.Load()
			if s == nil {
				continue
			}
			if s.node.IsPrimary() {
				return &unseededError{why: "these files are those of a primary: seed into an empty folder, or make " +
					"it a secondary first, with zrsd demote"}
			}
			st := s.sec.Status()
			done, err := goal.look(&st, s.st.Size(), now)
			tell(goal.report)
			if done || err != nil {
				return err
			}
		}
	}
}

// A seedGoal is what a seed is to have before it is done.
type seedGoal struct {
	patience time.Duration
	known    bool
	last     zodb.Tid // what the other node had first
	moved    time.Time
	report   SeedReport
}

// silence says that nothing came, and what went wrong last, if anything did.
func (g *seedGoal) silence(last string) string {
	text := fmt.Sprintf("nothing came for %v", g.patience)
	if last != "" {
		text += "; the last error: " + last
	}
	return text
}

// look reports whether everything is here.
func (g *seedGoal) look(st *secondary.Status, size int64, now time.Time) (done bool, err error) {
	if st.Connected && !g.known {
		g.known, g.last, g.report.Total = true, st.PrimaryLast, st.PrimarySize
	}
	if size != g.report.Size || st.Connected {
		g.moved = now
	}
	g.report = SeedReport{Size: size, Total: max(g.report.Total, size), Last: st.Durable}
	switch {
	case st.State == secondary.StateFailed:
		return false, &unseededError{why: st.LastError}
	case st.Final != nil:
		return false, &unseededError{why: st.LastError, err: st.Final, unreachable: st.State != secondary.StateRefused}
	case st.State == secondary.StateLive, g.known && st.Connected && st.Seed == nil && st.Durable >= g.last:
		return true, nil
	case now.Sub(g.moved) > g.patience:
		return false, &unseededError{
			why:         g.silence(st.LastError),
			unreachable: true,
		}
	case !st.Connected:
		g.report.Waits = st.LastError
	}
	return false, nil
}
