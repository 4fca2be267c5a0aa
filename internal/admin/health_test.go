package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// sites is a process with several storages.
type sites struct {
	node
	names []string
	each  map[string]*node
}

func (s *sites) Names() []string { return s.names }

func (s *sites) Storage(name string) admin.Source {
	if n := s.each[name]; n != nil {
		return n
	}
	return nil
}

func probe(t *testing.T, src admin.Source, method, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	admin.Handler(src, nil).ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1"+path, http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func primaryThat(change func(*admin.Status)) *node {
	st := admin.Status{Role: "primary", Ready: true}
	change(&st)
	return &node{st: st}
}

func replicaThat(state string, lag *float64) *node {
	return &node{st: admin.Status{
		Role: "secondary", Ready: true, Upstream: &admin.Upstream{State: state, Lag: admin.Lag{Seconds: lag}},
	}}
}

func nothing(*admin.Status) {}

// A load balancer that asks /primary sends clients that write to the one node that takes their commits, and one that
// asks /replica sends readers to nodes that are near enough.
func TestALoadBalancerFindsTheRoles(t *testing.T) {
	const yes, no = http.StatusOK, http.StatusServiceUnavailable
	frozen := func(st *admin.Status) { st.Ready, st.NotReady = false, admin.Known("frozen") }
	hangs := func(st *admin.Status) { st.NotLive = admin.Known("a commit waits for the disk") }
	standalone := func(readOnly bool) *node {
		return &node{st: admin.Status{Role: "standalone", Ready: true, ReadOnly: readOnly}}
	}
	for _, c := range []struct {
		src  admin.Source
		path string
		code int
		text string
	}{
		{primaryThat(nothing), "/primary", yes, "primary"},
		{primaryThat(frozen), "/primary", no, "not ready: frozen"},
		{replicaThat("live", admin.Known(0.0)), "/primary", no, "not primary: secondary"},
		{standalone(false), "/primary", yes, "standalone"},
		{standalone(true), "/primary", no, "not primary: standalone"},
		{standalone(true), "/replica", no, "not a replica: standalone"},
		{primaryThat(nothing), "/replica", no, "not a replica: primary"},
		{replicaThat("live", admin.Known(50.0)), "/replica", yes, "replica"},
		{replicaThat("live", admin.Known(10.0)), "/replica?lag=10s", yes, "replica"},
		{replicaThat("live", admin.Known(10.1)), "/replica?lag=10s", no, "10.1 seconds behind, the limit is 10s"},
		{replicaThat("waiting", admin.Known(3.0)), "/replica?lag=10s", yes, "replica"},
		{replicaThat("live", nil), "/replica?lag=10s", no, "live: not yet known how far behind"},
		{replicaThat("refused", admin.Known(0.0)), "/replica?lag=10s", no, "refused"},
		{replicaThat("stalled", admin.Known(0.0)), "/replica?lag=10s", no, "stalled"},
		{replicaThat("live", admin.Known(0.0)), "/replica?lag=10", http.StatusBadRequest,
			`lag="10": give a duration such as 10s`},
		{primaryThat(frozen), "/livez", yes, "alive"},
		{primaryThat(hangs), "/livez", no, "hangs: a commit waits for the disk"},
		{primaryThat(hangs), "/healthz", yes, "alive"},
		{primaryThat(frozen), "/readyz", no, "not ready: frozen"},
		{primaryThat(nothing), "/readyz/", http.StatusNotFound, "404 page not found"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			if code, text := probe(t, c.src, method, c.path); code != c.code || text != c.text {
				t.Errorf("%s %s: got %d %q, not %d %q", method, c.path, code, text, c.code, c.text)
			}
		}
	}
	if code, _ := probe(t, primaryThat(nothing), http.MethodPost, "/primary"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", code)
	}
}

// Of several storages one can be asked for, in two ways; without a name all count.
func TestAStorageCanBeAskedFor(t *testing.T) {
	src := &sites{names: []string{"main", "temp"}, each: map[string]*node{
		"main": primaryThat(nothing), "temp": replicaThat("live", admin.Known(1.0)),
	}}
	for path, want := range map[string]string{
		"/primary/main":                "200 primary",
		"/primary?storage=main":        "200 primary",
		"/primary/temp":                "503 not primary: secondary",
		"/replica/temp?lag=2s":         "200 replica",
		"/replica?storage=temp&lag=1s": "200 replica",
		"/primary":                     "503 storage temp: not primary: secondary",
		"/readyz":                      "200 storage main: ready",
		"/livez/temp":                  "200 alive",
		"/primary/other":               `404 there is no storage of that name: there are ["main" "temp"]`,
	} {
		code, text := probe(t, src, http.MethodGet, path)
		if got := fmt.Sprintf("%d %s", code, text); got != want {
			t.Errorf("%s: got %s, not %s", path, got, want)
		}
	}
}

// An onlyStorage is a process with one storage.
type onlyStorage struct {
	*node
	name string
}

func (o onlyStorage) OnlyStorage() string { return o.name }

// A process with one storage has none of another name, whoever asks for it.
func TestTheOnlyStorageHasOneName(t *testing.T) {
	for name, want := range map[string]string{
		"1": `there is no storage of that name: there are ["1"]`,
		"":  "the only storage of this process has no name: leave it out",
	} {
		src := onlyStorage{primaryThat(nothing), name}
		for _, path := range []string{"/primary/other", "/readyz?storage=other", "/status?storage=other",
			"/cluster?storage=other"} {
			if code, text := probe(t, src, http.MethodGet, path); code != http.StatusNotFound || text != want {
				t.Errorf("%s: %d %s", path, code, text)
			}
		}
		for _, path := range []string{"/primary/" + name, "/readyz?storage=" + name, "/status?storage=" + name} {
			if code, text := probe(t, src, http.MethodGet, strings.TrimSuffix(path, "/")); code != http.StatusOK {
				t.Errorf("%s: %d %s", path, code, text)
			}
		}
	}
}
