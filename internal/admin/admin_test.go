package admin_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is a Source whose answer the test sets.
type node struct {
	mu sync.Mutex
	st admin.Status
}

func (n *node) Status() admin.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.st
}

func (n *node) change(f func(*admin.Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.st)
}

func tid(t *testing.T, s string) *zodb.Tid {
	t.Helper()
	id, err := zodb.ParseTid(s)
	if err != nil {
		t.Fatal(err)
	}
	return &id
}

// times is what a histogram has that has seen one duration.
func times(d time.Duration) histogram.Snapshot {
	var h histogram.Histogram
	h.Observe(d)
	return h.Snapshot()
}

// full is a Status in which everything is known. A real node has either an upstream or not; the document has both.
func full(t *testing.T) admin.Status {
	t.Helper()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	last := tid(t, "03f8658005555555")
	return admin.Status{
		Version:      "v1.2.3",
		Packs:        &packplan.State{Schedule: "0 3 * * sun", Days: 1, Next: &at, Since: at, Done: &at, Ended: &at},
		Role:         "secondary",
		Name:         "db2:/srv/Data.fs",
		Started:      at,
		Now:          at.Add(time.Hour),
		NotReady:     admin.Known("catching up: 12.5 seconds behind"),
		NodeID:       admin.Known("9d3a"),
		MaxEpochSeen: admin.Known[uint64](4),
		Fenced:       true,
		Frozen:       true,
		Copied:       true,
		Conflict:     &admin.Conflict{Kind: "epoch", Text: "two primaries"},
		Epoch: &admin.Epoch{
			Number: 3,
			Begin:  last,
			By:     admin.Known("db1"),
			At:     admin.Known("2026-03-04T05:06:07Z"),
		},
		ReplicationAddr: admin.Known("db2:5000"), ZEOAddr: admin.Known(":8100"),
		Sync: &admin.Sync{
			Required: 1, Names: []string{"db2", "db3"}, Ack: "durable", Timeout: 10, OnTimeout: "degrade",
			Degraded: true, DegradedSince: admin.Known(at), Degradations: 2, Waiting: 1, SyncedTid: last,
			Waits: admin.DurationsOf(times(5 * time.Millisecond)),
		},
		Coordinator: &admin.Coordinator{
			Address: "etcd://e1:2379", Leader: admin.Known("db1"), Epoch: admin.Known[uint64](3), LeaseRemaining: 7.5,
			Maintenance: true, Members: []string{"db1", "db2"}, Doing: admin.Known("follows db1"),
			LastError: admin.Known("timed out"), LastErrorAt: admin.Known(at),
		},
		Storage: admin.Storage{
			Path: "/srv/Data.fs", ID: admin.Known("5b1f"), Magic: admin.Known("FS30"), Blobs: true, Shared: true,
			Size:    4096,
			Objects: admin.Known[int64](17), LastTid: last, LastTime: admin.Known(last.Time()),
			LastError: admin.Known("bad sector"), LastErrorAt: admin.Known(at),
			Growth:   []admin.Size{{At: at, Bytes: 4096}},
			LastPack: &admin.LastPack{Ended: at, Duration: 2.5, Packed: true, Before: 8192, After: 4096},
			Sync:     admin.DurationsOf(times(3 * time.Millisecond)),
			Lock:     admin.DurationsOf(times(time.Millisecond)),
			Disks:    []admin.Disk{{Folder: "/srv", Free: 1 << 30, Size: 1 << 40}},
			BlobCache: &admin.BlobCache{Target: 4000, Bytes: 3000, Blobs: 3, Hits: 70, Misses: 9, Fetched: 8000,
				Failed: 1, Evicted: 5, Stuck: 2},
			BlobStore: &admin.BlobStore{Store: "s3://blobs/app", Upload: "now", Waiting: 2, Uploaded: 30, Bytes: 30000,
				Tid: last, LastError: admin.Known("the store is away"), LastErrorAt: admin.Known(at),
				Cleaning: &admin.BlobCleaning{Grace: 3600, Unneeded: 4, UnneededBytes: 400, Removed: 6,
					RemovedBytes: 600, Looked: admin.Known(at), LastError: admin.Known("a node is away"),
					LastErrorAt: admin.Known(at)}},
		},
		ZEO: &admin.ZEO{Clients: 2, Loads: 30, Stores: 20, Commits: 10, Aborts: 1, Conflicts: 3, Resolved: 4, Voting: 1,
			Commit: admin.DurationsOf(times(7 * time.Millisecond)), Invalidations: 8, Uploads: 5, Downloads: 6,
			Received: 1 << 20, Sent: 2 << 20, Queued: 100},
		Upstream: &admin.Upstream{
			Address: admin.Known("db1:5000"), Name: admin.Known("db1:/srv/Data.fs"), State: "catching up",
			Protocol: admin.Known("zrsd/1"),
			Since:    admin.Known(at), LastTid: tid(t, "03f8658010000000"), Applied: last, Durable: last,
			Lag:       admin.Lag{admin.Known[int64](3), admin.Known[int64](900), admin.Known(12.5)},
			Seed:      &admin.Seed{Done: 250, Total: 1000, Rate: 50, Left: admin.Known(15.0), Since: at},
			LastError: admin.Known("connection reset by peer"), LastErrorAt: admin.Known(at),
		},
		Secondaries: []admin.Secondary{
			{
				Name:    "db3:/srv/Data.fs",
				Address: "192.0.2.3:40112",
				State:   "live",
				Protocol: admin.Known(
					"zrsd/1",
				),
				NodeID:          admin.Known("77aa"),
				ReplicationAddr: admin.Known("db3:5000"),
				Sent:            last,
				Seed:            &admin.Seed{Done: 50, Total: 200, Rate: 10, Since: at},
				Since:           admin.Known(at),
				Applied:         last,
				Durable:         last,
				Lag: admin.Lag{admin.Known[int64](1), admin.Known[int64](200),
					admin.Known(0.5)},
				LastError: admin.Known("disk full"),
			},
		},
		Disconnected: []admin.Secondary{{
			Name: "db4:/srv/Data.fs", Address: "192.0.2.4:40113", State: "disconnected",
			Protocol: admin.Known("zrsd/1"), Sent: last,
			Since: admin.Known(at), Applied: last, Durable: last,
			Lag: admin.Lag{admin.Known[int64](2), admin.Known[int64](300),
				admin.Known(7.5)}, LastError: admin.Known("EOF"),
		}},
		Verify: &verify.Status{
			Format: 1, Name: "db2:/srv/Data.fs", Path: "/srv/Data.fs", Written: at,
			Next:    admin.Known(at.Add(time.Hour)),
			Running: &verify.Running{Since: at, Done: 10, Total: 40},
			Last: &verify.Pass{
				Blobs: 2, BlobSize: 3 << 20,
				Path: "/srv/Data.fs", Began: at, Ended: at.Add(2 * time.Second), Seconds: 2, Attempted: 3, Success: 1,
				Failure: 2, NoChange: 1, Diff: 1, FailureNodes: map[string]string{"db3:5000": "it has another history"},
				Bytes: 1 << 20, Transactions: 7, Records: 8, Objects: 5, LastTid: last, Index: "good", BlocksKnown: 16,
				Damages: 1, Kinds: map[check.Kind]int64{verify.KindBlock: 1},
				Findings: []verify.Finding{{Where: verify.Here, Finding: check.Finding{Severity: check.Damage,
					Kind: verify.KindBlock, Pos: admin.Known[int64](4711), Tid: last, Text: "a bit has flipped"}}},
			},
			Totals: verify.Totals{Passes: 1, Attempted: 3, Success: 1, Failure: 2, NoChange: 1, Diff: 1, Damages: 1,
				Bytes: 1 << 20},
		},
		Archive: &admin.Archive{
			URL:             "s3://backup/app",
			State:           "archiving",
			Generation:      admin.Known[uint64](3),
			Complete:        true,
			LastTid:         last,
			Archived:        admin.Known(at),
			LagBytes:        4096,
			LagSeconds:      2.5,
			LagTransactions: admin.Known[int64](12),
			Made:            admin.Known(at.Add(-time.Hour)),
			Verified:        admin.Known(at),
			Segments:        17,
			Bytes:           1 << 20,
			Blobs:           4,
			BlobBytes:       1 << 21,
			BlobsMissing:    1,
			Failures:        2,
			LastError:       admin.Known("connection refused"),
		},
		Heal: &admin.Heal{Mode: "auto", Pending: 1, Healed: 2, Quarantined: 2, Failed: 1, Answered: 3, Unanswered: 1,
			Last: admin.Known(at),
			Next: admin.Known(at.Add(time.Minute)), Error: admin.Known("db1:5000: connection refused")},
		Troubles: []admin.Trouble{
			{Code: warning.Stalled, Text: "a commit waits for the disk", Since: at, Stall: true},
			{Code: warning.CleanupLeft, Text: "a blob is left", Since: at},
		},
		Warnings: []warning.Warning{{
			Code: warning.Stalled, Severity: warning.Critical, Text: "a commit waits for the disk", Cure: "look",
			Since: at,
		}},
		Learner: true, Spare: true,
		Reseeds: []admin.Reseed{{
			Why: "damaged", Found: "offset 0", Had: tid(t, "03f8658005555555"), Name: "aside-20260304T050607Z-damaged",
			At: "2026-03-04T05:06:07Z", Auto: true,
		}},
		ApplyDelay: &admin.Delay{
			Seconds: 14400, Shown: last, ShownTime: admin.Known(last.Time().UTC()), Hidden: admin.Known(3600.5),
			Until: last, Error: admin.Known("it was packed"),
		},
		AsOf: []admin.Moment{{
			Name: "old", At: "each hour", Tid: last, Time: admin.Known(last.Time().UTC()),
			Error: admin.Known("no file"),
		}},
		SetAside: []admin.SetAside{{
			First: *last, Until: *last, Last: *last - 1, File: "/srv/Data.fs.rewound-03f8658005555555.fs",
			At: "2026-11-29T04:05:06Z", Why: "no client was told",
		}},
		Totals: admin.Totals{
			Sent: admin.Traffic{10, 1000}, Applied: admin.Traffic{20, 2000}, Reconnects: 2, DigestErrors: 1,
			Refusals: map[string]int64{"wrong_storage": 1},
		},
	}
}

func get(t *testing.T, url string) (code int, contentType, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

func serve(t *testing.T, st admin.Status) (*node, string) {
	t.Helper()
	n := &node{st: st}
	ts := httptest.NewServer(admin.Handler(n, nil))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ts.Close()
	})
	return n, ts.URL
}

func TestEachPathHasItsTypeAndCode(t *testing.T) {
	n, url := serve(t, full(t))
	check := func(path string, wantCode int, wantType, wantText string) {
		t.Helper()
		code, contentType, body := get(t, url+path)
		if code != wantCode || !strings.HasPrefix(contentType, wantType) || !strings.Contains(body, wantText) {
			t.Errorf("%s: got %d %s\n%s", path, code, contentType, body)
		}
	}
	check("/", 200, "text/plain; charset=utf-8", "/status")
	check("/status", 200, "application/json", `"role": "secondary"`)
	check("/metrics", 200, "text/plain; version=0.0.4", "zrsd_ready 0")
	check("/healthz", 200, "text/plain; charset=utf-8", "alive")
	check("/readyz", 503, "text/plain; charset=utf-8", "not ready: catching up: 12.5 seconds behind")
	check("/nothing", 404, "text/plain; charset=utf-8", "not found")
	n.change(func(st *admin.Status) { st.Ready, st.NotReady = true, nil })
	check("/readyz", 200, "text/plain; charset=utf-8", "ready")
}

func TestNothingButReadingIsPossible(t *testing.T) {
	_, url := serve(t, full(t))
	for _, path := range []string{"/status", "/metrics", "/healthz", "/readyz"} {
		resp, err := http.Post(url+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: got %d", path, resp.StatusCode)
		}
	}
}

// scrape returns all samples of our own, by name and labels.
func scrape(t *testing.T, url string) map[string]float64 {
	t.Helper()
	code, _, body := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("scrape: %d\n%s", code, body)
	}
	samples := map[string]float64{}
	for sc := bufio.NewScanner(strings.NewReader(body)); sc.Scan(); {
		name, value, ok := cutLast(sc.Text())
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		samples[name] = v
	}
	return samples
}

func cutLast(line string) (name, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

func TestTheUpstreamStateIsTheLabel(t *testing.T) {
	n, url := serve(t, full(t))
	n.change(func(st *admin.Status) { st.Upstream.State = "live" })
	samples := scrape(t, url)
	if samples[`zrsd_upstream_state{state="live"}`] != 1 {
		t.Fatalf("got %v", samples)
	}
	if _, old := samples[`zrsd_upstream_state{state="catching up"}`]; old {
		t.Fatal("the state that was left is still there")
	}
}

func TestBuildGoAndProcessAreMeasured(t *testing.T) {
	_, url := serve(t, full(t))
	_, _, body := get(t, url+"/metrics")
	for _, want := range []string{`zrsd_build_info{goversion="go`, `version="v1.2.3"`, "go_goroutines ",
		"process_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func TestWhatIsNotKnownHasNoSample(t *testing.T) {
	_, url := serve(t, admin.Status{Role: "primary", Secondaries: []admin.Secondary{{Name: "x", State: "catching up"}}})
	for name := range scrape(t, url) {
		for _, unknown := range []string{"zrsd_last_tid", "zrsd_storage_objects", "zrsd_secondary_lag",
			"zrsd_upstream"} {
			if strings.HasPrefix(name, unknown) {
				t.Errorf("%s has a sample although it is not known", name)
			}
		}
	}
}

func TestConnectionsOfOneNameAndHostileNamesDoNotBreakAScrape(t *testing.T) {
	lagging := func(n int64) admin.Secondary {
		return admin.Secondary{Name: "bad\xffname", State: "live", Lag: admin.Lag{Bytes: admin.Known(n)}}
	}
	_, url := serve(t, admin.Status{Role: "primary", Secondaries: []admin.Secondary{lagging(5), lagging(70),
		lagging(6)}})
	if got := scrape(t, url)[`zrsd_secondary_lag_bytes{name="bad?name"}`]; got != 70 {
		t.Fatalf("got %v, want the lag of the one furthest behind", got)
	}
}

func TestServerEndsWithItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := admin.Serve(ln, &node{st: full(t)}, nil, hclog.NewNullLogger())
	if code, _, _ := get(t, "http://"+ln.Addr().String()+"/healthz"); code != http.StatusOK {
		t.Fatalf("got %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Fatal("still listening after Close")
	}
}
