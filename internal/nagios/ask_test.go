package nagios

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers every connection with handle, and returns how to get there.
func serve(t *testing.T, handle func(net.Conn)) Dial {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return dialer(l.Addr())
}

func dialer(addr net.Addr) Dial {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}
}

func sized(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// zeo greets, and answers the right question.
func zeo(t *testing.T, answer string) Dial {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		io.WriteString(conn, sized("M5"))
		got := make([]byte, len(question))
		if _, err := io.ReadFull(conn, got); err == nil && string(got) == question {
			io.WriteString(conn, answer)
		}
	})
}

type fixed admin.Status

// A process has several storages.
type process map[string]admin.Status

func (p process) Names() []string { return slices.Sorted(maps.Keys(p)) }

func (p process) Storage(name string) admin.Source { return fixed(p[name]) }

func (p process) Status() (st admin.Status) {
	for _, name := range p.Names() {
		st.Storages = append(st.Storages, admin.Member{Name: name})
	}
	return st
}

func (f fixed) Status() admin.Status { return admin.Status(f) }

// node is the admin server of a node that says st of itself.
func node(t *testing.T, st admin.Status) Dial {
	t.Helper()
	return adminServer(t, fixed(st))
}

func adminServer(t *testing.T, src admin.Source) Dial {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := admin.Serve(l, src, nil, hclog.NewNullLogger())
	t.Cleanup(func() { server.Close() })
	return dialer(l.Addr())
}

func TestAskTellsAZEOServerFromANodeByItself(t *testing.T) {
	open := admin.Storage{Magic: admin.Known("FS30"), LastTid: admin.Known(zodb.Tid(0x1234))}
	for name, c := range map[string]struct {
		dial Dial
		want Storages
	}{
		"ZEO": {zeo(t, sized(`{"1": {"last-transaction": "03ac11cd11372499", "loads": 1},
			"main": {"last-transaction": "0000000000000000"}}`)), Storages{"1": 0x03ac11cd11372499, "main": 0}},
		"ZEO without storages": {zeo(t, sized("{}")), Storages{}},
		"node":                 {node(t, admin.Status{Storage: open}), Storages{"1": 0x1234}},
		"node with several storages": {adminServer(t, process{
			"a b": {Storage: open}, "main": {Storage: admin.Storage{Magic: open.Magic}},
		}), Storages{"a b": 0x1234, "main": 0}},
		"node without a commit": {node(t, admin.Status{Storage: admin.Storage{Magic: open.Magic}}), Storages{"1": 0}},
	} {
		got, err := Ask(t.Context(), c.dial)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestAskSaysWhatIsWrongWithAnAnswer(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	opening := admin.Status{NotReady: admin.Known("opening the storage")}
	for name, c := range map[string]struct {
		dial Dial
		want string
	}{
		"no answer":      {zeo(t, ""), "does not answer"},
		"half an answer": {zeo(t, sized("{}")[:5]), "does not answer"},
		"a huge answer":  {zeo(t, "\xff\xff\xff\xff"), "at most 4194304 make sense"},
		"no JSON":        {zeo(t, sized("yes")), "cannot be read"},
		"no tid":         {zeo(t, sized(`{"main": {}}`)), `last transaction of storage "main"`},
		"a wrong tid":    {zeo(t, sized(`{"main": {"last-transaction": "yesterday"}}`)), "hexadecimal"},
		"opening":        {node(t, opening), "not open: opening the storage"},
		"one of several": {adminServer(t, process{"x": opening}), "storage x: its storage is not open: opening"},
		"a stranger":     {serve(t, func(c net.Conn) { io.WriteString(c, "220 mail") }), "no status document"},
		"another page":   {dialer(elsewhere.Listener.Addr()), "404"},
	} {
		_, err := Ask(t.Context(), c.dial)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

func TestNobodyThereIsAConnectError(t *testing.T) {
	nobody := &net.UnixAddr{Net: "unix", Name: filepath.Join(t.TempDir(), "nobody")}
	var connect *connectError
	if _, err := Ask(t.Context(), dialer(nobody)); !errors.As(err, &connect) {
		t.Errorf("got %v", err)
	}
}

func TestASilentServerIsNotWaitedForLongerThanTheContext(t *testing.T) {
	tired := errors.New("tired")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	silent := serve(t, func(net.Conn) {
		cancel(tired)
		<-ctx.Done()
	})
	if _, err := Ask(ctx, silent); !errors.Is(err, tired) {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"1": {"last-transaction": "03ac11cd11372499", "loads": 1, "start": "Sun Jan  4 09:37:03 2015"}}`))
	f.Add([]byte(`{"1": {"last-transaction": null}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := parseAnswer(b)
		if (found == nil) != (err != nil) {
			t.Errorf("storages %v and error %v", found, err)
		}
	})
}
