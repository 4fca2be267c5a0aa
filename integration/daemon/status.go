package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/endpoint"
	"github.com/zrsd/zrsd/zodb"
)

// adminClient returns a client that reaches addr whatever the URL's host says.
func adminClient(addr string) (*http.Client, error) {
	e, err := endpoint.Parse(addr)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx) }
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, nil
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
	resp, err := p.Get(ctx, "/status")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // everything of use has been read
	status := &admin.Status{}
	if err := json.NewDecoder(resp.Body).Decode(status); err != nil {
		return nil, fmt.Errorf("status of zrsd: %w", err)
	}
	return status, nil
}

// Up waits until the process answers on its admin address.
func (p *Process) Up(ctx context.Context) error {
	_, err := p.Await(ctx, "it answers", func(*admin.Status) bool { return true })
	return err
}

// Reached waits until the storage of the process has tid, durable and visible, as its last one.
func (p *Process) Reached(ctx context.Context, tid zodb.Tid) error {
	_, err := p.Await(ctx, "it has "+tid.String(), func(s *admin.Status) bool { return LastTid(s) >= tid })
	return err
}

// LastTid returns the last tid of the node's storage, 0 for none.
func LastTid(s *admin.Status) zodb.Tid {
	if s.Storage.LastTid == nil {
		return 0
	}
	return *s.Storage.LastTid
}

func describe(s *admin.Status) string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
