package admin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
)

// clusterOf is a source that knows other nodes.
type clusterOf struct {
	admin.Source
	peers []admin.ClusterNode
}

func (c clusterOf) Peers(context.Context) []admin.ClusterNode { return c.peers }

// source is a source that always says the same.
type source admin.Status

func (s source) Status() admin.Status { return admin.Status(s) }

// several are the storages of a process.
type several map[string]source

func (s several) Status() admin.Status { return s["main"].Status() }
func (s several) Names() []string      { return []string{"main", "temp"} }
func (s several) Storage(name string) admin.Source {
	if one, ok := s[name]; ok {
		return one
	}
	return nil
}

// browse gets a page as a browser does.
func browse(t *testing.T, url string) (code int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

const hostile = `<img src=x onerror=alert(1)>"'&`

// All that peers, clients and paths say is text on the page, wherever it stands.
func TestNothingThatOthersSayIsMarkup(t *testing.T) {
	st := full(t)
	st.Name, st.NotReady, st.Upstream.LastError = hostile, admin.Known(hostile), admin.Known(hostile)
	st.Storage.Path, st.Upstream.Name, st.Secondaries[0].Name = hostile, admin.Known(hostile), hostile
	st.Troubles[0].Text = hostile
	peer := clusterNode(hostile, hostile, 3)
	peer.Error, peer.Version = admin.Known(hostile), hostile
	h := admin.Handler(clusterOf{source(st), []admin.ClusterNode{peer}}, nil)
	s := httptest.NewServer(h)
	defer s.Close()
	_, _, body := browse(t, s.URL+"/")
	if strings.Contains(body, "<img") || strings.Count(body, "&lt;img src=x onerror=alert(1)&gt;") < 6 {
		t.Errorf("a name came through, or is not shown:\n%s", body)
	}
}

func TestAPageMayLoadNothingFromElsewhere(t *testing.T) {
	_, url := serve(t, full(t))
	for _, path := range []string{"/", "/page.css", "/page.js", "/page.svg"} {
		code, header, body := browse(t, url+path)
		policy := header.Get("Content-Security-Policy")
		if code != http.StatusOK || body == "" || !strings.HasPrefix(policy, "default-src 'none'") ||
			strings.Contains(policy, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %v", path, code, header)
		}
	}
	_, _, body := browse(t, url+"/")
	for _, forbidden := range []string{"<style", "style=", "onload=", "<script>", "http://", "https://"} {
		if strings.Contains(body, forbidden) {
			t.Errorf("the page has %s", forbidden)
		}
	}
}

// Who is no browser is told where to find what a program can read.
func TestWhoIsNoBrowserGetsText(t *testing.T) {
	_, url := serve(t, full(t))
	_, kind, body := get(t, url+"/")
	if !strings.HasPrefix(kind, "text/plain") || !strings.Contains(body, "/status") {
		t.Errorf("got %s: %s", kind, body)
	}
}

func TestThePageSaysTheWorstFirst(t *testing.T) {
	st := full(t)
	other := clusterNode("db9", "", 3)
	other.Storage, other.Epoch = "another", nil
	s := httptest.NewServer(admin.Handler(clusterOf{source(st), []admin.ClusterNode{other}}, nil))
	defer s.Close()
	_, _, body := browse(t, s.URL+"/")
	_, after, _ := strings.Cut(body, `id="verdict"`)
	if verdict, _, _ := strings.Cut(after, "</div>"); !strings.Contains(verdict, `class="bad"`) ||
		!strings.Contains(verdict, "not all nodes have the same storage") {
		t.Errorf("it says %s", verdict)
	}
}

// Of several storages each has its page, and links to the others.
func TestEachStorageHasItsPage(t *testing.T) {
	h := admin.Handler(several{"main": source(full(t)), "temp": source(full(t))}, nil)
	s := httptest.NewServer(h)
	defer s.Close()
	code, _, body := browse(t, s.URL+"/?storage=temp")
	if code != http.StatusOK || !strings.Contains(body, `href="?storage=main"`) ||
		!strings.Contains(body, `href="?storage=temp" aria-current="page"`) {
		t.Errorf("got %d: %s", code, body)
	}
	if code, _, _ := browse(t, s.URL+"/?storage=none"); code != http.StatusNotFound {
		t.Errorf("an unknown storage is answered with %d", code)
	}
}

// The page shows how far the archive is and when it was verified, and what is wrong with it in the colour of that.
func TestThePageShowsTheArchive(t *testing.T) {
	const behind = `2.5 s behind <span class="note">2.5 s, 4.0 KiB, 12 transactions; `
	for want, change := range map[string]func(*admin.Status){
		`<div class=""><dt>Archive</dt><dd>` + behind + `verified 1 h ago`: func(*admin.Status) {},
		`<div class=""><dt>Archive</dt><dd>up to date <span class="note">never verified`: func(st *admin.Status) {
			st.Archive.LagBytes, st.Archive.Verified = 0, nil
		},
		`<div class="bad"><dt>Archive</dt><dd>` + behind + `damaged: a gap`: func(st *admin.Status) {
			st.Archive.VerifyProblem = admin.Known("a gap")
			st.Warnings = []warning.Warning{{Code: warning.ArchiveDamaged, Severity: warning.Critical}}
		},
	} {
		st := full(t)
		st.Now = st.Archive.Verified.Add(time.Hour)
		change(&st)
		s := httptest.NewServer(admin.Handler(source(st), nil))
		_, _, body := browse(t, s.URL+"/")
		s.Close()
		if !strings.Contains(body, want) {
			_, tile, _ := strings.Cut(body, "<dt>Archive</dt>")
			t.Errorf("%s is missing; there is %.200s", want, tile)
		}
	}
}
