package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zodb"
)

// judge looks at what the load has left, and at what its clients have seen.
func (l *load) judge(t *testing.T) {
	t.Helper()
	verdict := l.compareLogs(t)
	for _, m := range []*machine{l.primary, l.secondary} {
		l.judgeEnd(t, m, verdict.Keys)
		mustBeSound(t, m.site)
	}
	packed, whole := surveyOf(t, l.primary.site), surveyOf(t, l.secondary.site)
	if packed.Current != whole.Current || len(packed.Dangling)+len(whole.Dangling) > 0 {
		t.Errorf("ZODB sees other objects in the primary (-) than in the secondary (+):\n%s", cmp.Diff(packed, whole))
	}
	packTo(t, l.secondary.site, l.packed)
	mustAgree(t, l.primary.site, l.secondary.site)
}

// compareLogs lets the checker compare the logs of all clients with the history.
func (l *load) compareLogs(t *testing.T) *consistency.Verdict {
	t.Helper()
	storage := l.secondary.open(t)
	defer storage.Close()
	truth, err := readTruth(t.Context(), storage)
	if err != nil {
		t.Fatal(err)
	}
	var ops []consistency.Op
	for _, c := range append(l.clients, l.setup) {
		log, err := consistency.ReadLog(c.name, c.log)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, log...)
	}
	count := map[consistency.Kind]int{}
	for i := range ops {
		count[ops[i].Kind]++
	}
	verdict := consistency.Check(&consistency.Case{Ops: ops, Truth: truth})
	t.Logf("%d transactions, %d acknowledged commits, %d unknown ones found and %d lost, %d snapshots, %d connections",
		len(truth.Tids()), verdict.Acknowledged, verdict.Found, verdict.Missing, count[consistency.Snapshot],
		count["connect"])
	const enough = 20
	for _, v := range verdict.Violations[:min(enough, len(verdict.Violations))] {
		t.Error(v)
	}
	if n := len(verdict.Violations); n > enough {
		t.Errorf("%d violations in all", n)
	}
	return verdict
}

// judgeEnd expects exactly the keys that were added in the tree, and a counter that tells their number.
func (l *load) judgeEnd(t *testing.T, m *machine, keys map[string]bool) {
	t.Helper()
	var end struct {
		Keys    []string `json:"keys"`
		Counter int      `json:"counter"`
	}
	ask(t, &end, "zeo_history_end.py", m.args()...)
	found := map[string]bool{}
	for _, key := range end.Keys {
		found[key] = true
	}
	if diff := cmp.Diff(keys, found); diff != "" {
		t.Errorf("keys in the tree of the %s (-added +found):\n%s", m.name, diff)
	}
	if end.Counter != len(keys) {
		t.Errorf("the counter of the %s is %d for %d keys", m.name, end.Counter, len(keys))
	}
}

// packTo packs the files of a site as its server would.
func packTo(t *testing.T, s *site, seconds float64) {
	t.Helper()
	stop, err := zodb.TidFromUnix(seconds)
	if err != nil {
		t.Fatal(err)
	}
	storage := s.open(t)
	defer storage.Close()
	if _, err := storage.Pack(t.Context(), stop, filestorage.PackOptions{GC: true}); err != nil {
		t.Fatal(err)
	}
}
