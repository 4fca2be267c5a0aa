package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// removeStale removes a socket that nobody listens on any more.
func removeStale(ctx context.Context, e Endpoint) error {
	info, err := os.Lstat(e.addr)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file of this name exists and is no socket: choose another path")
	}
	conn, err := e.Dial(ctx)
	if err == nil {
		return errors.Join(ErrInUse, conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("finding out whether the socket is in use: %w", err)
	}
	return os.Remove(e.addr)
}
