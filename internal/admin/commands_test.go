package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
	"github.com/zrsd/zrsd/internal/verify"
)

// A controls is a Control whose answers the test sets; it notes what it was asked for.
type controls struct {
	admin.Roles // see roles_test.go
	clients     []admin.Client
	entries     []admin.UndoEntry
	pack        func(ctx context.Context, progress func(admin.PackProgress)) (admin.PackResult, error)
	err         error

	pass      verify.Pass
	storage   string
	request   admin.PackRequest
	verifying admin.VerifyRequest
	healing   admin.HealRequest
	report    heal.Report
	findings  []blobtools.Finding
	audit     blobtools.Summary
	query     admin.UndoQuery
	holding   admin.ApplyUntilRequest
	held      admin.ApplyUntil
	inside    func(ctx context.Context, q inside.Question) (any, error)
	counting  admin.StatsQuery
	counted   blobtools.Stats

	converting admin.ConvertQuery
	converted  blobstore.Conversion
}

func (c *controls) Clients(storage string) ([]admin.Client, error) {
	c.storage = storage
	return c.clients, c.err
}

func (c *controls) Pack(ctx context.Context, storage string, req admin.PackRequest,
	progress func(admin.PackProgress)) (admin.PackResult, error) {
	c.storage, c.request = storage, req
	if c.pack == nil {
		return admin.PackResult{}, c.err
	}
	return c.pack(ctx, progress)
}

func (c *controls) Verify(_ context.Context, storage string, req admin.VerifyRequest,
	progress func(admin.VerifyProgress)) (verify.Pass, error) {
	c.storage, c.verifying = storage, req
	progress(admin.VerifyProgress{Done: 1, Total: 2})
	return c.pass, c.err
}

func (c *controls) Heal(_ context.Context, storage string, req admin.HealRequest,
	progress func(admin.VerifyProgress)) (heal.Report, error) {
	c.storage, c.healing = storage, req
	progress(admin.VerifyProgress{Done: 1, Total: 2})
	return c.report, c.err
}

func (c *controls) AuditBlobs(_ context.Context, storage string, found func(*blobtools.Finding) error,
	progress func(admin.VerifyProgress)) (*blobtools.Summary, error) {
	c.storage = storage
	progress(admin.VerifyProgress{Done: 1, Total: 2})
	for i := range c.findings {
		if err := found(&c.findings[i]); err != nil {
			return nil, err
		}
	}
	return &c.audit, c.err
}

func (c *controls) CountBlobs(_ context.Context, storage string, q admin.StatsQuery,
	progress func(admin.VerifyProgress)) (*blobtools.Stats, error) {
	c.storage, c.counting = storage, q
	progress(admin.VerifyProgress{Done: 1, Total: 2})
	return &c.counted, c.err
}

func (c *controls) ConvertBlobs(_ context.Context, storage string, q admin.ConvertQuery,
	progress func(blobstore.Conversion)) (blobstore.Conversion, error) {
	c.storage, c.converting = storage, q
	progress(blobstore.Conversion{Blobs: 1})
	return c.converted, c.err
}

func (c *controls) Inside(ctx context.Context, storage string, q inside.Question,
	progress func(admin.VerifyProgress)) (any, error) {
	c.storage = storage
	progress(admin.VerifyProgress{Done: 1, Total: 2})
	return c.inside(ctx, q)
}

func (c *controls) Feed(ctx context.Context, storage string, q admin.FeedQuery, to admin.FeedSink) error {
	if storage != "" {
		return &admin.Refusal{Reason: admin.NoStorage, Text: "there is none of that name"}
	}
	if err := to.Idle(ctx); err != nil {
		return err
	}
	for tid := q.After + 1; tid <= 5; tid++ {
		doc := fmt.Sprintf("{\"tid\":\"%v\",\"objects\":[%s]}\n", tid, strings.Repeat("1,", int(tid)*100_000)+"1")
		if err := to.Put(ctx, []feed.Line{{Tid: tid, JSON: []byte(doc)}}); err != nil {
			return err
		}
	}
	if q.Follow {
		return &admin.Refusal{Reason: admin.Unavailable, Text: "the storage is closing"}
	}
	return nil
}

func (c *controls) ApplyUntil(_ context.Context, storage string, req admin.ApplyUntilRequest) (admin.ApplyUntil,
	error) {
	c.storage, c.holding = storage, req
	return c.held, c.err
}

func (c *controls) UndoLog(_ context.Context, storage string, q admin.UndoQuery) ([]admin.UndoEntry, error) {
	c.storage, c.query = storage, q
	return c.entries, c.err
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serveOn answers on ln until the test ends, and returns how to connect without TLS.
func serveOn(t *testing.T, ln net.Listener, c admin.Control) admin.Dialer {
	t.Helper()
	addr := ln.Addr()
	s := admin.Serve(ln, &node{st: full(t)}, c, hclog.NewNullLogger())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}
}

func local(t *testing.T, c admin.Control) admin.Dialer {
	t.Helper()
	return serveOn(t, listen(t, "tcp", "127.0.0.1:0"), c)
}

func client(label string) admin.Client {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return admin.Client{
		Address: admin.Known("192.0.2.7:5003"), Label: admin.Known(label), Storage: admin.Known("1"),
		Protocol: admin.Known("Z5"), Since: at, Doing: "waiting", DoingSince: admin.Known(at.Add(time.Minute)),
		Outbox: 20 << 10, Loads: 3, Stores: 2, Commits: 1,
	}
}

func TestClientsAreTheDocumentedOnes(t *testing.T) {
	c := &controls{clients: []admin.Client{client("zope"), {Since: time.Unix(0, 0).UTC(), Doing: "connecting"}}}
	raw, doc, err := admin.AskClients(t.Context(), local(t, c), "1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.clients, doc.Clients); diff != "" || c.storage != "1" {
		t.Errorf("of storage %q: %s", c.storage, diff)
	}
	goldenFile(t, "clients.json", string(raw))
	var table strings.Builder
	if err := admin.WriteClients(&table, append(doc.Clients, client("evil\x1b[2J\nname"))); err != nil {
		t.Fatal(err)
	}
	goldenFile(t, "clients.txt", table.String())
}

func TestWhatCanBeUndoneIsTheDocumentedList(t *testing.T) {
	last := full(t).Storage.LastTid
	c := &controls{entries: []admin.UndoEntry{{
		ID: "A/hlgAVVVVU=", Tid: *last, Time: last.Time().UTC(), Size: 1234,
		User: "/ admin", Description: "/front/edit",
	}}}
	q := admin.UndoQuery{First: 5, Count: 7, User: "admin & co", Description: "edit"}
	raw, doc, err := admin.AskUndoLog(t.Context(), local(t, c), "", q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, c.query) + cmp.Diff(c.entries, doc.Transactions); diff != "" || c.storage != "" {
		t.Errorf("of storage %q: %s", c.storage, diff)
	}
	goldenFile(t, "undo-log.json", string(raw))
	var table strings.Builder
	long := c.entries[0]
	long.User, long.Description = strings.Repeat("ü", 200), "two\nlines"
	if err := admin.WriteUndoLog(&table, append(doc.Transactions, long)); err != nil {
		t.Fatal(err)
	}
	goldenFile(t, "undo-log.txt", table.String())
}

// goldenFile compares text with a file.
func goldenFile(t *testing.T, name, text string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s changed; it is a contract (docs/commands-json.md):\n%s", name, diff)
	}
}

func TestNothingIsAnEmptyList(t *testing.T) {
	dial := local(t, &controls{})
	for path, want := range map[string]string{"/clients": `"clients": []`, "/undo-log": `"transactions": []`} {
		if code, body := send(t, dial, http.MethodGet, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for name, write := range map[string]func(io.Writer) error{
		"no clients":     func(w io.Writer) error { return admin.WriteClients(w, nil) },
		"no transaction": func(w io.Writer) error { return admin.WriteUndoLog(w, nil) },
	} {
		var out strings.Builder
		if err := write(&out); err != nil || !strings.HasPrefix(out.String(), name) {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}

// send sends a request as any program would; headers are pairs.
func send(t *testing.T, dial admin.Dialer, method, path string, headers ...string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://zrsd"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestWhatMakesNoSenseIsRefusedWithAnInstruction(t *testing.T) {
	dial := local(t, &controls{})
	for path, want := range map[string]string{
		"/undo-log?count=0":    "give a number from 1 to 1000",
		"/undo-log?count=1001": "give a number from 1 to 1000",
		"/undo-log?first=-1":   "give a number from 0 to",
		"/undo-log?first=x":    "give a number from 0 to",
	} {
		code, body := send(t, dial, http.MethodGet, path)
		if code != 400 || !strings.Contains(body, want) || !strings.Contains(body, `"reason": "invalid"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for path, want := range map[string]string{
		"/pack?until=tomorrow": "give a time such as",
		"/pack?gc=perhaps":     "give true or false",
	} {
		code, body := send(t, dial, http.MethodPost, path, "Zrsd-Command", "pack")
		if code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestErrorsKeepTheirReason(t *testing.T) {
	for _, reason := range []admin.Reason{admin.NoStorage, admin.Invalid, admin.NotAllowed, admin.Busy,
		admin.Unavailable, admin.Failed} {
		want := &admin.Refusal{Reason: reason, Text: "because of " + string(reason)}
		dial := local(t, &controls{err: want})
		_, _, clients := admin.AskClients(t.Context(), dial, "")
		_, _, undo := admin.AskUndoLog(t.Context(), dial, "", admin.UndoQuery{Count: 1})
		_, pack := admin.AskPack(t.Context(), dial, "", admin.PackRequest{}, nobody)
		for _, err := range []error{clients, undo, pack} {
			var got *admin.Refusal
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
}

// nobody is told of a pack.
func nobody([]byte, *admin.PackProgress) error { return nil }

func TestWithoutAControlThereAreNoCommands(t *testing.T) {
	dial := serveOn(t, listen(t, "tcp", "127.0.0.1:0"), nil)
	if _, _, err := admin.AskClients(t.Context(), dial, ""); !errors.Is(err, admin.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

// A far listener is reached from another machine.
type far struct{ net.Listener }

func (f far) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	return farConn{conn}, err
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }

func TestOnlyTheTrustedMayChangeAnything(t *testing.T) {
	dir := t.TempDir()
	ca := tlsauthtest.NewAuthority(t, dir, "ca")
	ca.Issue(t, "db1")
	ca.Issue(t, "operator")
	open := tlsauth.Files{Certificate: filepath.Join(dir, "db1.crt"), Key: filepath.Join(dir, "db1.key")}
	strict := open
	strict.Authority = filepath.Join(dir, "ca.pem")
	operator := tlsauth.Files{Certificate: filepath.Join(dir, "operator.crt"), Key: filepath.Join(dir, "operator.key"),
		Authority: filepath.Join(dir, "ca.pem")}
	load := func(f tlsauth.Files) *tlsauth.Credentials {
		c, err := tlsauth.Load(f)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tcp := func() net.Listener { return listen(t, "tcp", "127.0.0.1:0") }
	for name, c := range map[string]struct {
		ln     net.Listener
		secure bool
		code   int
	}{
		"this machine":                          {tcp(), false, 200},
		"a Unix socket":                         {listen(t, "unix", filepath.Join(dir, "socket")), false, 200},
		"another machine":                       {far{tcp()}, false, 403},
		"another machine, certificate unasked":  {load(open).Listen(far{tcp()}, nil), true, 403},
		"another machine, certificate verified": {load(strict).Listen(far{tcp()}, nil), true, 200},
	} {
		dial := serveOn(t, c.ln, &controls{})
		if c.secure {
			plain := dial
			dial = func(ctx context.Context) (net.Conn, error) { return load(operator).Dial(ctx, plain, "db1") }
		}
		code, body := send(t, dial, http.MethodPost, "/pack", "Zrsd-Command", "pack")
		if code != c.code || code == 403 && !strings.Contains(body, "with a client certificate") {
			t.Errorf("%s: %d %s", name, code, body)
		}
		if code, _ := send(t, dial, http.MethodGet, "/clients"); code != 200 {
			t.Errorf("%s: reading: %d", name, code)
		}
	}
}

func TestAWebPageCannotChangeAnything(t *testing.T) {
	dial := local(t, &controls{pack: func(context.Context, func(admin.PackProgress)) (admin.PackResult, error) {
		t.Error("it packs")
		return admin.PackResult{}, nil
	}})
	for name, headers := range map[string][]string{
		"a form":          {"Content-Type", "application/x-www-form-urlencoded"},
		"another command": {"Zrsd-Command", "undo"},
		"a rebound name":  {"Zrsd-Command", "pack", "Origin", "http://zrsd"},
	} {
		if code, body := send(t, dial, http.MethodPost, "/pack", headers...); code != 403 ||
			!strings.Contains(body, "zrsd pack") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, _ := send(t, dial, http.MethodOptions, "/pack", "Access-Control-Request-Method", "POST"); code < 400 {
		t.Errorf("a browser that asks whether it may is answered with %d", code)
	}
	if code, _ := send(t, dial, http.MethodGet, "/pack", "Zrsd-Command", "pack"); code != 405 {
		t.Errorf("GET: %d", code)
	}
}

// otherServer answers every connection with the same text, once something was asked.
func otherServer(t *testing.T, answer string) admin.Dialer {
	t.Helper()
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := server.Read(make([]byte, 4096)); err == nil {
				_, _ = io.WriteString(server, answer) // the client may have read enough
			}
		}()
		return client, nil
	}
}

func TestEveryFieldOfACommandIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/commands-json.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[admin.Client](), reflect.TypeFor[admin.UndoEntry](), reflect.TypeFor[admin.PackProgress](),
		reflect.TypeFor[admin.PackResult](), reflect.TypeFor[admin.Refusal](),
	} {
		jsonNames(typ, names)
	}
	for name := range names {
		if !strings.Contains(string(doc), "`"+name+"`") && !strings.Contains(string(doc), `"`+name+`"`) {
			t.Errorf("docs/commands-json.md does not explain `%s`", name)
		}
	}
}

// A count comes as it is, to the question as it was asked; days that are none are refused.
func TestBlobsAreCountedForWhoAsks(t *testing.T) {
	c := &controls{counted: blobtools.Stats{Path: "Data.fs", NotHere: 3, Pack: &blobtools.Count{Blobs: 2, Bytes: 5}}}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	q := admin.StatsQuery{Days: 30, GC: true}
	stats, err := admin.AskStats(t.Context(), dial, "main", q, ignoreProgress)
	if err != nil || stats.NotHere != 3 || stats.Pack == nil || stats.Pack.Bytes != 5 || c.storage != "main" ||
		c.counting != q {
		t.Errorf("%+v, %v, of %q, %+v", stats, err, c.storage, c.counting)
	}
	for _, days := range []int{-1, 100_001} {
		if _, err := admin.AskStats(t.Context(), dial, "", admin.StatsQuery{Days: days}, ignoreProgress); reasonOf(
			err) != admin.Invalid {
			t.Errorf("%d days: %v", days, err)
		}
	}
	c.err = &admin.Refusal{Reason: admin.Unavailable, Text: "not now"}
	if _, err := admin.AskStats(t.Context(), dial, "", q, ignoreProgress); reasonOf(err) != admin.Unavailable {
		t.Errorf("a refusal is %v", err)
	}
}

// A conversion is done as it was asked for, and what makes no sense is refused.
func TestBlobsAreConvertedForWhoAsks(t *testing.T) {
	c := &controls{converted: blobstore.Conversion{From: "lawn", To: "bushy", Blobs: 3, OldNames: true}}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	ignore := func(blobstore.Conversion) {}
	q := admin.ConvertQuery{To: "bushy", Finish: true, Dry: true, Rate: 7}
	did, err := admin.AskConvert(t.Context(), dial, "main", q, ignore)
	if err != nil || *did != c.converted || c.storage != "main" || c.converting != q {
		t.Errorf("%+v, %v, of %q, %+v", did, err, c.storage, c.converting)
	}
	for _, q := range []admin.ConvertQuery{{To: "zeocache", Rate: 1}, {To: "lawn"}, {To: "lawn", Rate: 1e7}} {
		if _, err := admin.AskConvert(t.Context(), dial, "", q, ignore); reasonOf(err) != admin.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
	c.err = &admin.Refusal{Reason: admin.Busy, Text: "not now"}
	if _, err := admin.AskConvert(t.Context(), dial, "", q, ignore); reasonOf(err) != admin.Busy {
		t.Errorf("a refusal is %v", err)
	}
}

// An audit tells each finding as it comes, and ends with what was looked at.
func TestAuditsTellWhatTheyFind(t *testing.T) {
	c := &controls{audit: blobtools.Summary{Path: "Data.fs", Damages: 2},
		findings: []blobtools.Finding{{Kind: blobtools.Missing, Path: "a"}, {Kind: blobtools.Missing, Path: "b"}}}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	var paths []string
	found := func(f *blobtools.Finding) error { paths = append(paths, f.Path); return nil }
	sum, err := admin.AskAudit(t.Context(), dial, "main", found, func(admin.VerifyProgress) {})
	if err != nil || sum.Damages != 2 || !slices.Equal(paths, []string{"a", "b"}) || c.storage != "main" {
		t.Errorf("%+v, %v, %v, of %q", sum, err, paths, c.storage)
	}
	c.err = &admin.Refusal{Reason: admin.Unavailable, Text: "not now"}
	var refusal *admin.Refusal
	_, err = admin.AskAudit(t.Context(), dial, "", found, func(admin.VerifyProgress) {})
	if !errors.As(err, &refusal) || refusal.Reason != admin.Unavailable {
		t.Errorf("a refusal is %v", err)
	}
}
