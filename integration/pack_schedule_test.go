package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
	"github.com/zrsd/zrsd/internal/packplan"
)

// scheduled is a cluster of three in which a pack was due a minute ago, while no process ran.
func scheduled(t *testing.T) (nodes []*served, due time.Time) {
	t.Helper()
	due = time.Now().Add(-time.Minute).Truncate(time.Minute).UTC()
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, &served{
			site: newSite(t, false), name: name, replication: freeAddress(t), zeo: freeAddress(t),
		})
	}
	var size int64
	ask(t, &size, "old_history.py", nodes[0].data, "300")
	for i, n := range nodes {
		others := []string{nodes[(i+1)%3].replication, nodes[(i+2)%3].replication}
		role := map[bool]string{true: "members", false: "replicate-from"}[i == 0]
		n.conf = fmt.Sprintf("<zeo>\naddress %s\n</zeo>\n<admin>\naddress %s\n</admin>\n<zrs 1>\nname %s\n"+
			"replicate-to %s\n%s %s\n<filestorage>\npath %s\npack-schedule CRON_TZ=UTC %d %d * * *\n</filestorage>\n"+
			"</zrs>\n", n.zeo, n.admin(), n.name, n.replication, role, strings.Join(others, ","), n.data, due.Minute(),
			due.Hour())
		record, err := json.Marshal(map[string]any{"format": 1, "since": due.Add(-time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{n.file(): n.conf, n.data + packplan.Suffix: string(record)} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return nodes, due
}

func (n *served) await(t *testing.T, what string, cond func(*admin.Status) bool) *admin.Status {
	t.Helper()
	st, err := n.Await(within(t), n.name+": "+what, cond)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A time that came while no process ran is made up for, but not while a node is out. After a switchover the new primary
// packs first, then each of the others, one after another, while real clients commit. All pack to the same time.
func TestAClusterPacksBySchedule(t *testing.T) {
	nodes, due := scheduled(t)
	a, b, c := nodes[0], nodes[1], nodes[2]
	a.start(t, "--new-identity")
	b.start(t)
	a.await(t, "no pack while c is out", func(st *admin.Status) bool {
		return st.Packs.Waits != nil && len(st.Secondaries) == 1 && st.Secondaries[0].State == "live"
	})
	zrsdDoes(t, "switchover", a.admin(), b.admin())
	b.await(t, "no pack by the new primary either", func(st *admin.Status) bool {
		return st.Role == "primary" && st.Packs.Waits != nil && strings.Contains(*st.Packs.Waits, c.replication)
	})
	c.start(t)
	clients := crowd(t, nodes, "zodb")
	var ended []time.Time
	for _, n := range []*served{b, a, c} {
		st := n.await(t, "it packs", func(st *admin.Status) bool { return st.Packs.Done != nil })
		p, l := st.Packs, st.Storage.LastPack
		if !p.Done.Equal(due) || p.Failed != nil || l == nil || !l.Packed || l.After >= l.Before {
			t.Errorf("%s: due %v: %+v, %+v", n.name, due, p, l)
		}
		if l != nil {
			begun := l.Ended.Add(-time.Duration(l.Duration * float64(time.Second)))
			if len(ended) > 0 && begun.Before(ended[len(ended)-1]) {
				t.Errorf("%s packed while another node did", n.name)
			}
			ended = append(ended, l.Ended)
		}
	}
	mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
	b.await(t, "nothing more is to be done", func(st *admin.Status) bool {
		return st.Packs.Turn == nil && st.Packs.Waits == nil && st.Packs.LeftOut == nil && !st.Storage.Packing
	})
}
