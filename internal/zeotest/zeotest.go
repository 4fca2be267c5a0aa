// Package zeotest serves storages to the clients that a test is about.
package zeotest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zeo"
)

// Serve serves st as storage "1" at an address of its own. stop ends that, and closes st; it is called at the end of
// the test at the latest.
func Serve(t *testing.T, st *filestorage.Storage, opt zeo.Options, of zeo.StorageOptions) (addr string, stop func()) {
	t.Helper()
	server := zeo.New(opt)
	withdraw, err := server.Offer("1", st, of)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		withdraw()
		server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}
