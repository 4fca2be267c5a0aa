package integration

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// What a rewind sets aside was written by the real ZODB, undo and blobs among it, and the real ZODB opens it; what
// stays is byte for byte what a secondary has that was cut off in that moment.
func TestRealZODBOpensWhatARewindHasSetAside(t *testing.T) {
	source := newSite(t, true)
	owner := startOwner(t, source)
	for _, command := range []string{"create 12", "commit 20", "undo", "create 3"} {
		owner.do(t, command)
	}
	common := owner.close(t)
	target := replicate(t, source, common)

	owner = startOwner(t, source)
	for _, command := range []string{"commit 10", "undo", "create 5", "undo", "commit 3"} {
		owner.do(t, command)
	}
	last := owner.close(t)
	first, transactions := firstAfter(t, source, common)
	site := &rewind.Storage{FS: vfs.OS{}, Data: source.data, Blobs: source.blobs, Logger: hclog.NewNullLogger()}
	if err := site.Begin(&state.Rewind{
		Last: common, First: first, Until: last, Follow: []string{"a:1"}, Epochs: []protocol.Epoch{{Number: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	fragment, err := site.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Transactions int64    `json:"transactions"`
		Records      int      `json:"records"`
		Blobs        int      `json:"blobs"`
		LastTid      zodb.Tid `json:"last_tid"`
	}
	ask(t, &found, "fragment.py", fragment.Data, fragment.Blobs)
	if found.Transactions != transactions || found.LastTid != last || found.Blobs == 0 {
		t.Errorf("ZODB finds %+v, want %d transactions up to %v, and blobs", found, transactions, last)
	}
	mustBeIdentical(t, source, target)
	mustBeSound(t, source)
	surveyOf(t, source)
}

// firstAfter returns the first transaction after a tid, and how many there are.
func firstAfter(t *testing.T, s *site, tid zodb.Tid) (first zodb.Tid, n int64) {
	t.Helper()
	st, err := filestorage.Open(t.Context(), s.data, filestorage.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	it, err := st.Iterate(tid, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first = txn.Meta().Tid
	if n, _, err = st.Count(t.Context(), tid); err != nil {
		t.Fatal(err)
	}
	return first, n
}
