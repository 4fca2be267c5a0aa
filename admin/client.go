package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxDocument bounds what Fetch reads: room for tens of thousands of secondaries.
const maxDocument = 16 << 20

// ErrNoStatus says that somebody answered, but not with a status document.
var ErrNoStatus = errors.New("the answer is no status document: check that this is the --admin address of a zrsd")

// Fetch gets the status document of the node that dial reaches, as it came and decoded. The error is that of dial,
// ErrNoStatus, or the cause of ctx.
func Fetch(ctx context.Context, dial func(context.Context) (net.Conn, error)) (raw []byte, st *Status, err error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	defer transport.CloseIdleConnections()
	raw, err = get(ctx, transport)
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoStatus, err)
	}
	st = new(Status)
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoStatus, err)
	}
	return raw, st, nil
}

func get(ctx context.Context, transport http.RoundTripper) (raw []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://zrsd/status", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("it is longer than %d bytes", maxDocument)
	}
	return raw, err
}
