package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/reseed"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// What a secondary does that has lost its data file.
const (
	ReseedAsk  = "ask"  // it says the command for an operator, and ends
	ReseedAuto = "auto" // it sets aside what there is, and takes everything anew from its primary
)

func (c *Config) checkReseed() error {
	switch c.Reseed {
	case "":
		c.Reseed = ReseedAsk
	case ReseedAsk, ReseedAuto:
	default:
		return &ConfigError{fmt.Sprintf("--reseed %s: give %s or %s", c.Reseed, ReseedAsk, ReseedAuto)}
	}
	return nil
}

// reseedLook is how often a node that has lost its data file looks for its primary.
const reseedLook = 2 * time.Second

// A lostError says that a copy has lost its data file: it has to take everything anew.
type lostError struct {
	why string // see state.Reseed
	err error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// A ReseedNeededError says that an operator has to decide about a copy that has lost its data file, and how.
type ReseedNeededError struct {
	lost    error
	why     string // nothing was done by itself
	command string
}

func (e *ReseedNeededError) Error() string {
	return fmt.Sprintf("%v; %s. To set aside what there is of it and take everything anew from the primary (nothing "+
		"is deleted), run: %s", e.lost, e.why, e.command)
}

func (e *ReseedNeededError) Unwrap() error { return e.lost }

// reseedSite is the storage as it is set aside.
func (c *Config) reseedSite() *reseed.Storage {
	s := &reseed.Storage{FS: c.FS, Data: c.Data, Logger: c.Logger}
	if !c.SharedBlobs {
		s.Blobs = c.Blobs
	}
	return s
}

// finishReseed does what an interrupted reseed has left to do: until then the storage must not be used.
func (c *Config) finishReseed(f *nodeStatus) error {
	f.waits("finishing an interrupted reseed")
	keep, err := state.Open(c.FS, c.Data)
	if err == nil {
		_, err = c.reseedSite().Finish(keep)
	}
	if err != nil {
		return &StartError{Err: err}
	}
	return nil
}

// missesData returns a *lostError where there is no Data.fs and the state file knows of transactions: the state file of
// a copy that has got none yet does not.
func (s *session) missesData() error {
	_, err := s.c.FS.Stat(s.c.Data)
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // opening it reports what else there may be
	}
	id, err := state.Load(s.c.FS, s.c.Data)
	if err != nil || len(id.Chain.Checkpoints) == 0 || !s.isCopy(id) {
		return nil //nolint:nilerr // opening the state file reports it
	}
	return &lostError{state.ReseedMissing, fmt.Errorf("%s is missing, and %s knows that it had transactions up to %v",
		s.c.Data, id.Path(), id.Chain.Last().Tid)}
}

// isCopy reports whether the node is a secondary, by its state file or else as it was started. A primary never gives
// its data file up.
func (s *session) isCopy(id *state.State) bool {
	role := s.starts
	if id.Role != "" {
		role = id.Role
	}
	return role == state.RoleSecondary
}

// begunAnew reports whether the node has nothing because its data file was set aside, and is a secondary for that.
func (s *session) begunAnew() bool {
	id, err := state.Load(s.c.FS, s.c.Data)
	return err == nil && len(id.Reseeds) > 0 && len(id.Chain.Checkpoints) == 0 && s.isCopy(id)
}

// lostCopy returns why the copy has to take everything anew, where err says that; nil: it does not.
func (s *session) lostCopy(err error) *lostError {
	var lost *lostError
	var corrupt *zodb.CorruptError
	switch {
	case errors.As(err, &lost):
		return lost
	case !errors.As(err, &corrupt) || corrupt.File != s.c.Data:
		return nil
	}
	if id, broken := state.Load(s.c.FS, s.c.Data); broken != nil || !s.isCopy(id) {
		return nil //nolint:nilerr // opening the state file reports it
	}
	return &lostError{state.ReseedDamaged, err}
}

// reseed sets the data file of a copy that has lost it aside, when a primary is there that has all of it. Otherwise it
// returns what an operator has to know.
func (s *session) reseed(ctx context.Context, lost *lostError) error {
	keep, err := state.Open(s.c.FS, s.c.Data)
	if err != nil {
		return &StartError{Err: err}
	}
	id := keep.State()
	ask := func(why string) error {
		return &StartError{Err: &ReseedNeededError{lost, why, s.c.reseedCommand(s.firstAddress())}}
	}
	if s.c.Reseed != ReseedAuto {
		return ask("without reseed auto this node does nothing about that by itself")
	}
	if err := id.MayReseed(time.Now()); err != nil {
		return ask(err.Error())
	}
	s.c.Logger.Error("this copy has lost its data file: it is set aside, and taken anew, when a primary answers that "+
		"has all of it", "file", s.c.Data, "reason", lost.why, "error", lost, "warning", warning.SetAside)
	if err := s.awaitPrimary(ctx, id, lost); err != nil {
		return err
	}
	return s.setAside(keep, lost)
}

func (s *session) setAside(keep *state.Keeper, lost *lostError) error {
	site := s.c.reseedSite()
	err := site.Begin(keep, lost.why, lost.Error(), true, time.Now())
	if err == nil {
		_, err = site.Finish(keep)
	}
	if err != nil {
		return &StartError{Err: err}
	}
	return nil
}

// awaitPrimary returns when a primary has answered that vouches for the copy.
func (s *session) awaitPrimary(ctx context.Context, id *state.State, lost *lostError) error {
	tick := time.NewTicker(reseedLook)
	defer tick.Stop()
	said := ""
	for {
		why := s.vouchers(ctx, id)
		if why == "" {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.status.waits(fmt.Sprintf("%v; it is taken anew when a primary answers that has all of it: %s", lost, why))
		if why != said {
			s.c.Logger.Warn("no primary is there yet that has all of what this copy had", "answers", why,
				"warning", warning.UpstreamLost)
			said = why
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// vouchers asks all nodes that are known, and returns why none of them vouches; empty: one does.
func (s *session) vouchers(ctx context.Context, id *state.State) string {
	var answers []string
	for _, addr := range s.members(id) {
		asked, cancel := context.WithTimeout(ctx, reseedLook)
		remote := &rewind.Remote{
			Dial:   func(ctx context.Context) (net.Conn, error) { return s.c.dialServer(ctx, addr) },
			Secret: s.c.read.secret, State: id, Name: s.status.base.Name,
		}
		status, err := remote.Status(asked)
		cancel()
		if err == nil {
			err = reseed.Vouches(id, status)
		}
		if err == nil {
			return ""
		}
		answers = append(answers, fmt.Sprintf("%s: %v", addr, err))
	}
	return strings.Join(answers, "; ")
}

// members are where other nodes are, by the state file and the command line.
func (s *session) members(id *state.State) []string {
	list := slices.Clone(id.Follow)
	for _, e := range s.cfg.ReplicateFrom {
		if addr := e.String(); !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// firstAddress is where the primary may be, for the text of a command.
func (s *session) firstAddress() string {
	if len(s.cfg.ReplicateFrom) == 0 {
		return "ADDR"
	}
	return s.cfg.ReplicateFrom[0].String()
}

// noteReseed writes down, at the end of a session, that the file is set aside before the next one: what this node alone
// has is certainly known to nobody, and too much of the file to be rewound.
func (n *replicated) noteReseed(s *session, err error) error {
	var other *cluster.ReseedError
	if !errors.As(err, &other) {
		return err
	}
	if refused := s.keep.State().MayReseed(time.Now()); refused != nil {
		return &StartError{Err: &ReseedNeededError{err, refused.Error(), n.c.reseedCommand(other.Primary)}}
	}
	site := n.c.reseedSite()
	if err := site.Begin(s.keep, state.ReseedHistory, other.Error(), true, time.Now()); err != nil {
		return &StartError{Err: err}
	}
	n.rewinds, n.noted = true, true
	return nil
}
