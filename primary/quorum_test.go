package primary

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// What is called synced is, and stays, on as many secondaries as are required, whatever comes in which order.
func TestWhatIsSyncedIsOnEnoughSecondaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d"}
		rule := protocol.SyncRule{Required: rapid.IntRange(1, 3).Draw(t, "required")}
		if rapid.Bool().Draw(t, "named") {
			rule.Names = names[:3]
		}
		q := newQuorum(rule, false)
		has := map[string]zodb.Tid{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			tid := has[name] + zodb.Tid(rapid.IntRange(0, 3).Draw(t, "more"))
			if rapid.Bool().Draw(t, "connects") {
				q.begin(name, name, tid)
			} else {
				q.ack(name, name, 0, tid)
			}
			has[name] = tid
			synced, _ := q.state()
			var counted []zodb.Tid
			for name, tid := range has {
				if rule.Names == nil || slices.Contains(rule.Names, name) {
					counted = append(counted, tid)
				}
			}
			slices.Sort(counted)
			want := zodb.Tid(0)
			if len(counted) >= rule.Required {
				want = counted[len(counted)-rule.Required]
			}
			if synced != want {
				t.Fatalf("%v of %v: synced %d, want %d", rule, has, synced, want)
			}
		}
	})
}

func TestOneNodeCountsOnce(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 2}, false)
	q.begin("n", "a", 5)
	q.begin("n", "the same under another name", 7)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d with one node", synced)
	}
	q.ack("", "of an older version", 0, 9)
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d with who has no id", synced)
	}
}

func TestOnlyWhatReadersSeeCountsWhereThatIsAsked(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 1}, true)
	q.ack("n", "a", 3, 8)
	if synced, _ := q.state(); synced != 3 {
		t.Errorf("synced %d, want 3", synced)
	}
}

func TestNothingCountsBehindARenewal(t *testing.T) {
	q := newQuorum(protocol.SyncRule{Required: 1}, false)
	q.ack("n", "a", 0, 8)
	q.reset()
	if synced, _ := q.state(); synced != 0 {
		t.Errorf("synced %d", synced)
	}
}
