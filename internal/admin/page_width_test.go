package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// tenNodes are a primary and nine secondaries after a switchover; what is shown of one was told by another, and one is
// silent.
func tenNodes(t *testing.T) admin.Source {
	t.Helper()
	st := full(t)
	peers := []admin.ClusterNode{clusterNode("plone-zeo-02.example.org", "", 3)}
	for i := range 8 {
		n := clusterNode(fmt.Sprintf("plone-zeo-%02d.example.org", i+3), "plone-zeo-02.example.org", 3)
		n.Version, n.LastTid, n.Storage = "v0.9.0-45-gf94c077", st.Storage.LastTid, peers[0].Storage
		n.Lag = admin.Lag{Seconds: admin.Known(12.5), Transactions: admin.Known[int64](1_234_567),
			Bytes: admin.Known[int64](5 << 30)}
		peers = append(peers, n)
	}
	for i := range peers {
		peers[i].Epoch, peers[i].Heard = st.Epoch, admin.Known(st.Now.Add(-12*time.Second))
	}
	peers[3].Source = "told"
	peers[4].Error = admin.Known("dial tcp 10.1.2.3:5000: connect: connection refused")
	return clusterOf{source(st), peers}
}

// framed lets a page be shown in a frame of a test, which it does not allow otherwise.
type framed struct{ http.ResponseWriter }

func (f framed) WriteHeader(code int) {
	f.Header().Del("Content-Security-Policy")
	f.Header().Del("X-Frame-Options")
	f.ResponseWriter.WriteHeader(code)
}

// measure shows the page in frames of several widths, and writes down what is wider than its place.
const measure = `<!doctype html><title>widths</title><body><script>
const frames = [1280, 1024, 800, 390].map(width => {
  const f = document.createElement('iframe');
  f.width = width; f.height = 900; f.src = '/';
  document.body.append(f);
  return new Promise(done => f.onload = () => {
    const doc = f.contentDocument, table = doc.querySelector('#nodes').closest('.wide');
    const wide = [doc.documentElement, table].filter(e => e.scrollWidth > e.clientWidth + 1);
    done(width + ':' + wide.map(e => e.className || e.tagName).join());
  });
});
Promise.all(frames).then(list => document.body.append('[' + list.join(' ') + ']'));
</script></body>`

// The page and its table of nodes fit into a large window, a small one, half of one, and a phone: what is on the right
// of a table that scrolls sideways is not seen.
func TestNodesFitIntoEveryWidth(t *testing.T) {
	page := admin.Handler(tenNodes(t), nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/widths" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(measure))
			return
		}
		page.ServeHTTP(framed{w}, r)
	}))
	defer s.Close()
	_, _, body := browse(t, s.URL+"/")
	if !strings.Contains(body, "plone-zeo-10") || !strings.Contains(body, "12 s ago, by plone-zeo-02.example.org") {
		t.Fatal("the nodes of the test are not shown")
	}
	dom, _ := chromium(t, s.URL+"/widths")
	found := regexp.MustCompile(`\[(1280:.*)\]`).FindStringSubmatch(dom)
	if found == nil {
		t.Fatalf("nothing was measured:\n%s", dom)
	}
	if found[1] != "1280: 1024: 800: 390:" {
		t.Errorf("wider than the window, by its width: %s", found[1])
	}
}

// One secondary is one, in all that people read.
func TestOneSecondaryIsNotSeveral(t *testing.T) {
	st := full(t)
	st.Role, st.Now = "primary", time.Unix(1000, 0)
	st.Sync, st.Secondaries = &admin.Sync{Required: 1}, nil
	var text strings.Builder
	if err := admin.WriteTable(&text, &st); err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Conditions() {
		text.WriteString(c.Text)
	}
	if strings.Contains(text.String(), "1 secondaries") || !strings.Contains(text.String(), "1 secondary") {
		t.Error(text.String())
	}
}
