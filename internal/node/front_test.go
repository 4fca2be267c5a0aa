package node

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
)

// A client finds every storage of the process, under its name, from the moment when it can connect.
func TestTheFrontListensWhenAllStoragesAreOpen(t *testing.T) {
	p, site := sample(t, nil)
	addr := filepath.Join(t.TempDir(), "zeo")
	p.ZEO = &ZEOConfig{Address: nodetest.Socket(t, addr), Options: zeo.Options{Logger: hclog.NewNullLogger()}}
	site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	for _, name := range []string{"three", "two", "one"} {
		connect(t, addr, name).Close()
	}
}

// A node is ready only while ZEO clients can connect: who waits for a ready node, and connects, is not refused.
func TestANodeIsReadyOnlyWhileClientsCanConnect(t *testing.T) {
	zeoAt := nodetest.Socket(t, filepath.Join(t.TempDir(), "zeo"))
	f := newFront(&ZEOConfig{Address: zeoAt, Options: zeo.Options{Logger: hclog.NewNullLogger()}}, []string{"1"}, nil)
	s := &nodeStatus{front: f, show: func(st *admin.Status) { st.Ready = true }}
	if st := s.Status(); st.Ready || st.NotReady == nil {
		t.Fatal("it was ready before anybody could connect")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx) }()
	f.End("1", errors.New("this test has no storage"))
	for !s.Status().Ready {
		if pause.For(t.Context(), time.Millisecond); t.Context().Err() != nil {
			t.Fatal("it never became ready")
		}
	}
	conn, err := zeoAt.Dial(t.Context())
	if err != nil {
		t.Fatal("it was ready, and refused a connection:", err)
	}
	_ = conn.Close()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.Status().Ready {
		t.Error("it was ready after clients were disconnected")
	}
}

// connect returns a client that reads a storage. It tries again for as long as nobody listens; what was refused is not
// tried again.
func connect(t *testing.T, addr, storage string) *client.Conn {
	t.Helper()
	e := nodetest.Socket(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	for {
		raw, err := e.Dial(ctx)
		if err == nil {
			_ = raw.Close()
			break
		}
		if pause.For(ctx, time.Millisecond); ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	conn, err := client.Dial(ctx, []string{addr}, client.Options{Storage: storage, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// What the configuration says of packs counts for clients and for commands.
func TestAClientPacksAsTheConfigurationSays(t *testing.T) {
	front := newCounter()
	p, site := sample(t, front)
	p.Storages[2].Standalone.PackNoGC, p.Storages[2].Standalone.PackNoOld = true, true
	r := site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	for range p.Storages {
		<-front.changed
	}
	r.End(t)
	for name, want := range map[string]bool{"one": true, "two": true, "three": false} {
		if opt := front.options[name]; opt.Pack.GC != want || opt.Pack.KeepOld != want {
			t.Errorf("storage %s is packed with %+v, want %v", name, opt, want)
		}
	}
}
