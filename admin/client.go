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

// Fetch gets the status document of the node that dial reaches, as it came and decoded.
func Fetch(ctx context.Context, dial func(context.Context) (net.Conn, error)) (raw []byte, st *Status, err error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://zrsd/status", http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	resp, err := transport.RoundTrip(req)
	var netErr net.Error
	if errors.As(err, &netErr) || ctx.Err() != nil {
		return nil, nil, fmt.Errorf("asking for the status: %w", err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoStatus, err)
	}
	raw, err = readDocument(resp)
	if err != nil {
		return nil, nil, err
	}
	st = new(Status)
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoStatus, err)
	}
	return raw, st, nil
}

func readDocument(resp *http.Response) (raw []byte, err error) {
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w (it answered %s)", ErrNoStatus, resp.Status)
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("%w (longer than %d bytes)", ErrNoStatus, maxDocument)
	}
	return raw, nil
}
