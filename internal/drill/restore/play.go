package restore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/hashchain"
)

// Name is that of the scenario.
const Name = "restore"

const about = "The latest moment of an archive and one that is drawn are restored into an empty folder, compared " +
	"with what the nodes have, and served to clients that read. What was restored is removed again."

// Options say what to restore, and how.
type Options struct {
	Archive *archive.Archive
	Binary  string // zrsd
	Dir     string // for everything, with a short path because of the sockets in it; it must be there
	Seed    uint64
	AtOnce  int             // objects that are read at a time
	Node    hashchain.Chain // a node with the same history; nil: none is at hand
	Python  string          // an interpreter that has ZEO and reads as well; empty: none
	Keep    bool            // what was restored stays there
	Tell    func(text string)
}

// Play restores, and reports. The error is the end of ctx; what did not go as it should is in the report.
func Play(ctx context.Context, opt Options) (*drill.Report, error) {
	begun := time.Now()
	out := drill.Outcome{Name: Name, About: about}
	rng := rand.New(rand.NewPCG(opt.Seed, 0)) //nolint:gosec // to be repeated, not to be secret
	opt.Tell(Name + ": " + about)
	var failed error
	for _, which := range []string{"latest", "drawn"} {
		one, err := opt.moment(ctx, which, rng)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if one != nil {
			out.Restores = append(out.Restores, *one)
		}
		if err != nil {
			failed = fmt.Errorf("the %s moment: %w", which, err)
			break
		}
		opt.Tell(one.String())
	}
	if failed != nil {
		out.Error = failed.Error()
	}
	out.Held, out.Rounds, out.Duration = failed == nil, 1, time.Since(begun).Seconds()
	return &drill.Report{
		Seed: opt.Seed, Begun: begun.UTC(), Held: out.Held, Folder: opt.Dir, Restore: true,
		Scenarios: []drill.Outcome{out},
	}, nil
}

// moment restores one and looks at it.
func (opt *Options) moment(ctx context.Context, which string, rng *rand.Rand) (one *drill.Restored, err error) {
	var m *archive.Moment
	if which == "latest" {
		m, err = opt.Archive.Moment(ctx, archive.Latest, false)
	} else {
		m, err = opt.Archive.Draw(ctx, rng.Uint64N)
	}
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(opt.Dir, which)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	begun := time.Now()
	r, err := m.Restore(ctx, archive.RestoreOptions{
		Data: filepath.Join(dir, "Data.fs"), Blobs: filepath.Join(dir, "blobs"), AtOnce: opt.AtOnce,
	})
	if err != nil {
		return nil, fmt.Errorf("restore of transaction %v: %w", m.Tid, err)
	}
	one = &drill.Restored{
		Moment: which, Tid: r.Tid, Generation: r.Generation, Size: r.Size, Blobs: r.Blobs, Missing: r.Missing,
		Seconds: time.Since(begun).Seconds(),
	}
	c := &copied{Options: opt, dir: dir, moment: m, one: one, rng: rng}
	if err := errors.Join(c.prove(ctx), c.serve(ctx)); err != nil || opt.Keep {
		return one, err
	}
	return one, os.RemoveAll(dir)
}
