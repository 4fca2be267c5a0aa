package nagios

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

// Storages are the last transactions of the storages of one server, by name.
type Storages map[string]zodb.Tid

// unnamed is what ZEO calls the only storage of a server.
const unnamed = "1"

// Dial connects to a server.
type Dial func(ctx context.Context) (net.Conn, error)

// A connectError says that there is no connection to a server.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// Ask asks a server for its last transactions, over two connections at most, and one more for each of several storages.
// The error is a *connectError, or says what is wrong with the answer. When ctx ends it is the cause.
func Ask(ctx context.Context, dial Dial) (Storages, error) {
	found, err := askZEO(ctx, dial)
	if errors.Is(err, errNoGreeting) {
		found, err = askNode(ctx, dial)
	}
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return found, err
}

// askNode asks the admin server of a node.
func askNode(ctx context.Context, dial Dial) (Storages, error) {
	connecting := func(ctx context.Context) (net.Conn, error) { return connect(ctx, dial) }
	ask := func(storage string) (*admin.Status, error) {
		_, st, err := admin.Fetch(ctx, connecting, storage)
		return st, err
	}
	st, err := ask("")
	if err != nil {
		return nil, err
	}
	if len(st.Storages) == 0 {
		tid, err := lastTid(st)
		return Storages{unnamed: tid}, err
	}
	found := make(Storages)
	for _, member := range st.Storages {
		if st, err = ask(member.Name); err != nil {
			return nil, err
		}
		if found[member.Name], err = lastTid(st); err != nil {
			return nil, fmt.Errorf("storage %s: %w", member.Name, err)
		}
	}
	return found, nil
}

func lastTid(st *admin.Status) (zodb.Tid, error) {
	if st.Storage.Magic == nil { // which is known as soon as it is open
		return 0, fmt.Errorf("its storage is not open: %s", orUnknown(st.NotReady))
	}
	return st.LastTid(), nil
}

func orUnknown(text *string) string {
	if text == nil {
		return "it does not say why"
	}
	return *text
}

func connect(ctx context.Context, dial Dial) (net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}
