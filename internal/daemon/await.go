package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// poll is how often a node is asked for what is waited for.
const poll = 5 * time.Millisecond

// Await asks for the status of a node until cond holds for it, and returns it. It fails with ErrExited when exited is
// closed first, with the last answer when ctx ends.
func Await(
	ctx context.Context, ask func(context.Context) (*admin.Status, error), exited <-chan struct{},
	cond func(*admin.Status) bool,
) (*admin.Status, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	last := errors.New("none")
	for {
		st, err := ask(ctx)
		switch {
		case err == nil && cond(st):
			return st, nil
		case err == nil:
			last = errors.New(Describe(st))
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-exited:
			return nil, ErrExited
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// Describe is a status in a few words.
func Describe(st *admin.Status) string {
	text := fmt.Sprintf("%s, ready %v, last %v", st.Role, st.Ready, st.LastTid())
	if st.NotReady != nil {
		text += " (" + *st.NotReady + ")"
	}
	if u := st.Upstream; u != nil {
		text += ", upstream " + u.State
		if u.LastError != nil {
			text += " (" + *u.LastError + ")"
		}
	}
	for i := range st.Secondaries {
		text += fmt.Sprintf(", secondary %s: %s", st.Secondaries[i].Name, st.Secondaries[i].State)
	}
	return text
}

// clientOf returns a client that reaches e whatever the URL's host says.
func clientOf(e endpoint.Endpoint) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx) }
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// Status asks for the status.
func (p *Process) Status(ctx context.Context) (*admin.Status, error) {
	_, st, err := admin.Fetch(ctx, p.dial, "")
	return st, err
}

// Up waits until the process answers on its admin address.
func (p *Process) Up(ctx context.Context) error {
	_, err := p.Await(ctx, "it answers", func(*admin.Status) bool { return true })
	return err
}

// Reached waits until the storage of the process has tid, durable and visible, as its last one.
func (p *Process) Reached(ctx context.Context, tid zodb.Tid) error {
	_, err := p.Await(ctx, "it has "+tid.String(), func(st *admin.Status) bool { return st.LastTid() >= tid })
	return err
}
