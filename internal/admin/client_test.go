package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/verify"
)

func dialer(url string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
	}
}

func TestFetchBringsTheDocumentAsItIs(t *testing.T) {
	want := full(t)
	_, url := serve(t, want)
	raw, got, err := admin.Fetch(t.Context(), dialer(url), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(verify.Pass{}),
		cmpopts.IgnoreFields(admin.Durations{}, "Times")); diff != "" {
		t.Error(diff)
	}
	if file, _ := os.ReadFile("testdata/full.json"); !bytes.Equal(file, raw) {
		t.Errorf("the raw document differs:\n%s", raw)
	}
}

func TestFetchTellsASilentAddressFromAnotherServer(t *testing.T) {
	otherServer := func(answer http.HandlerFunc) string {
		ts := httptest.NewServer(answer)
		t.Cleanup(ts.Close)
		return ts.URL
	}
	for name, answer := range map[string]http.HandlerFunc{
		"another page": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"not found":    http.NotFound,
		"endless":      func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), 17<<20)) },
	} {
		if _, _, err := admin.Fetch(t.Context(), dialer(otherServer(answer)), ""); !errors.Is(err, admin.ErrNoStatus) {
			t.Errorf("%s: got %v, want ErrNoStatus", name, err)
		}
	}
	silent := httptest.NewServer(http.NotFoundHandler())
	silent.Close()
	if _, _, err := admin.Fetch(t.Context(), dialer(silent.URL), ""); err == nil || errors.Is(err, admin.ErrNoStatus) {
		t.Errorf("nobody listens: got %v", err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts into its backlog and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	dialed := make(chan struct{})
	go func() {
		<-dialed
		cancel()
	}()
	_, _, err = admin.Fetch(ctx, func(ctx context.Context) (net.Conn, error) {
		defer close(dialed)
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	}, "")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func table(t *testing.T, st admin.Status) string {
	t.Helper()
	var b strings.Builder
	if err := admin.WriteTable(&b, &st); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheTableSaysEverythingThatAnOperatorLooksFor(t *testing.T) {
	want, err := os.ReadFile("testdata/full.txt")
	if *update {
		err = os.WriteFile("testdata/full.txt", []byte(table(t, full(t))), 0o644)
		want = []byte(table(t, full(t)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), table(t, full(t))); diff != "" {
		t.Error(diff)
	}
}

func TestTheTableMarksWhatIsNotKnown(t *testing.T) {
	got := table(t, admin.Status{Role: "primary", Secondaries: []admin.Secondary{{Name: "s", State: "live"}}})
	if !strings.Contains(got, "last tid  -") || !strings.Contains(got,
		"live   -         -        -        -     -      -        -") {
		t.Error(got)
	}
	if got := table(t, admin.Status{Role: "primary"}); !strings.Contains(got, "no secondaries") {
		t.Error(got)
	}
}

func TestNamesFromPeersCannotPaintOnTheTerminal(t *testing.T) {
	got := table(t, admin.Status{Secondaries: []admin.Secondary{{Name: "evil\x1b[2J\n\tname\xff"}}})
	if strings.ContainsAny(got, "\x1b\t") || !utf8.ValidString(got) || !strings.Contains(got, "evil [2J  name?") {
		t.Errorf("%q", got)
	}
}
