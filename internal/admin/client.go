package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/zrsd/zrsd/internal/service"
)

// maxDocument bounds what Fetch reads: room for tens of thousands of secondaries.
const maxDocument = 16 << 20

// ErrNoStatus says that the answer is not a status document.
var ErrNoStatus = errors.New("the answer is no status document: check that this is the --admin address of a zrsd")

// ErrNoStorage says that a process has no storage of the name asked for. The error that wraps it has the node's words.
var ErrNoStorage = errors.New("no such storage")

// Fetch gets the status document of the node that dial reaches, as it came and decoded: of one storage among several,
// or with an empty name that of the process. The error is that of dial, ErrNoStatus,
// ErrNoStorage, or the cause of ctx.
func Fetch(ctx context.Context, dial Dialer, storage string) (raw []byte, st *Status, err error) {
	return fetch[Status](ctx, dial, "/status", storage)
}

// FetchCluster is Fetch of what the node knows of all nodes of a storage. Older nodes have no such page.
func FetchCluster(ctx context.Context, dial Dialer, storage string) (raw []byte, c *Cluster, err error) {
	return fetch[Cluster](ctx, dial, "/cluster", storage)
}

func fetch[T any](ctx context.Context, dial Dialer, path, storage string) (raw []byte, document *T, err error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer hangUp(ctx, conn)()
	raw, err = get(ctx, conn, path, storage)
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case errors.Is(err, ErrNoStorage):
		return nil, nil, err
	case err != nil:
		return nil, nil, notAdmin(ErrNoStatus, err)
	}
	document = new(T)
	if err := json.Unmarshal(raw, document); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoStatus, err)
	}
	return raw, document, nil
}

// statusOf returns the status of an answer, with its words where the replication port of a zrsd answers.
func statusOf(resp *http.Response, text []byte) string {
	if resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return resp.Status
	}
	return resp.Status + ": " + clean(strings.TrimSpace(string(text[:min(len(text), maxRefusal)])))
}

// notAdmin returns what says best why an answer is not the one that was expected.
func notAdmin(what, err error) error {
	var other *service.Error
	if errors.As(err, &other) {
		return err
	}
	return fmt.Errorf("%w (%w)", what, err)
}

// maxRefusal bounds what is read of a node's reason.
const maxRefusal = 4 << 10

// A noStorageError is a node's answer about a storage that it does not have.
type noStorageError struct{ text string }

func (e *noStorageError) Error() string { return e.text }
func (e *noStorageError) Unwrap() error { return ErrNoStorage }

func get(ctx context.Context, conn net.Conn, path, storage string) (raw []byte, err error) {
	address := "http://" + ownHost + path
	if storage != "" {
		address += "?storage=" + url.QueryEscape(storage)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := exchange(conn, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode == http.StatusNotFound && storage != "" {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		return nil, errors.Join(&noStorageError{clean(strings.TrimSpace(string(text)))}, err)
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		return nil, errors.Join(fmt.Errorf("it answered %s", statusOf(resp, text)), err)
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("it is longer than %d bytes", maxDocument)
	}
	return raw, err
}
