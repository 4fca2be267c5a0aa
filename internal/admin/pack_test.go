package admin_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
)

func TestAPackTellsItsProgressAndThenItsResult(t *testing.T) {
	want := admin.PackResult{Packed: true, Before: 100, After: 50, Objects: 3, Blobs: 2, Pause: 0.25, Duration: 1.5}
	heard := make(chan struct{})
	c := &controls{pack: func(_ context.Context, progress func(admin.PackProgress)) (admin.PackResult, error) {
		progress(admin.PackProgress{Phase: "copy", Done: 1, Total: 2})
		<-heard
		return want, nil
	}}
	var lines []string
	req := admin.PackRequest{
		Until: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), GC: admin.Known(true), KeepOld: admin.Known(false),
		CopyDamage: true,
	}
	got, err := admin.AskPack(t.Context(), local(t, c), "main", req,
		func(line []byte, progress *admin.PackProgress) error {
			lines = append(lines, string(line))
			if progress != nil {
				close(heard)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got) + cmp.Diff(req, c.request); diff != "" || c.storage != "main" {
		t.Errorf("storage %q: %s", c.storage, diff)
	}
	goldenFile(t, "pack.ndjson", strings.Join(lines, "\n")+"\n")
}

func TestAnErrorOfAPackIsItsLastLine(t *testing.T) {
	var last string
	dial := local(t, &controls{err: errors.New("disk on fire")})
	_, err := admin.AskPack(t.Context(), dial, "", admin.PackRequest{},
		func(line []byte, _ *admin.PackProgress) error {
			last = string(line)
			return nil
		})
	if err == nil || err.Error() != "disk on fire" || last != `{"error":{"reason":"failed","text":"disk on fire"}}` {
		t.Errorf("got %v and %s", err, last)
	}
}

func TestAPackEndsWithTheInterestInIt(t *testing.T) {
	running, ended := make(chan struct{}), make(chan struct{})
	dial := local(t, &controls{pack: func(ctx context.Context, _ func(admin.PackProgress)) (admin.PackResult, error) {
		close(running)
		<-ctx.Done()
		close(ended)
		return admin.PackResult{}, context.Cause(ctx)
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-running
		cancel(errors.New("enough"))
	}()
	if _, err := admin.AskPack(ctx, dial, "", admin.PackRequest{}, nobody); err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestAServerThatEndsInTheMiddleOfAPackIsNoSuccess(t *testing.T) {
	dial := otherServer(t, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+
		`{"progress":{"phase":"copy","done":1,"total":2}}`+"\n")
	_, err := admin.AskPack(t.Context(), dial, "", admin.PackRequest{}, nobody)
	if !errors.Is(err, admin.ErrCut) {
		t.Errorf("got %v", err)
	}
}

func TestTheAnswerOfAnotherServerIsAnError(t *testing.T) {
	for _, answer := range []string{"hello\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>\n",
		"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno\n"} {
		dial := otherServer(t, answer)
		_, err := admin.AskPack(t.Context(), dial, "", admin.PackRequest{}, nobody)
		if !errors.Is(err, admin.ErrNoAnswer) {
			t.Errorf("%q: pack: %v", answer, err)
		}
		if _, _, err := admin.AskClients(t.Context(), dial, ""); !errors.Is(err, admin.ErrNoAnswer) {
			t.Errorf("%q: clients: %v", answer, err)
		}
	}
}

// A watched listener's connections keep the deadlines that were set last.
type watched struct {
	net.Listener
	conns chan *watchedConn
}

func (l *watched) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &watchedConn{Conn: conn}
	l.conns <- c
	return c, nil
}

type watchedConn struct {
	net.Conn
	mu          sync.Mutex
	read, write time.Time
}

func (c *watchedConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	c.read = at
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(at)
}

func (c *watchedConn) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	c.write = at
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(at)
}

func TestAPackMayTakeLongerThanAnyRequest(t *testing.T) {
	ln := &watched{listen(t, "tcp", "127.0.0.1:0"), make(chan *watchedConn, 1)}
	c := &controls{pack: func(context.Context, func(admin.PackProgress)) (admin.PackResult, error) {
		conn := <-ln.conns
		conn.mu.Lock()
		defer conn.mu.Unlock()
		if !conn.read.IsZero() || !conn.write.IsZero() {
			t.Errorf("the connection ends at %v or %v", conn.read, conn.write)
		}
		return admin.PackResult{Packed: true}, nil
	}}
	got, err := admin.AskPack(t.Context(), serveOn(t, ln, c), "", admin.PackRequest{}, nobody)
	if err != nil || !got.Packed {
		t.Errorf("%+v, %v", got, err)
	}
}
