package daemon

import (
	"context"
	"net"
	"net/http"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// clientOf returns a client that reaches e whatever the URL's host says.
func clientOf(e endpoint.Endpoint) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx) }
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// Get asks the admin address for path and returns the open answer.
func (p *Process) Get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://zrsd"+path, nil)
	if err != nil {
		return nil, err
	}
	return p.client.Do(req)
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
