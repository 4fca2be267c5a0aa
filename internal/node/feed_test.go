package node

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A buffered is a sink in memory.
type buffered struct{ feed.Writer }

func (buffered) Idle(context.Context) error { return nil }

// A cursor that is not in the history belongs to a consumer of what was lost here: going on would hide that. One that
// was packed away may have transactions after it that are gone, too.
func TestAFeedGoesOnOnlyAfterATransactionOfTheHistory(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var tids []zodb.Tid
	for _, text := range []string{"one", "two", "three", "four"} {
		tids = append(tids, store(t, st, text))
	}
	feedAfter := func(q admin.FeedQuery) (lines int, err error) {
		var out bytes.Buffer
		err = Feed(t.Context(), st, q, buffered{feed.Writer{To: &out}}, Paths{})
		return strings.Count(out.String(), "\n"), err
	}
	for after, want := range map[zodb.Tid]int{0: 4, tids[0] - 1: 4, tids[1]: 2, tids[3]: 0} {
		if n, err := feedAfter(admin.FeedQuery{After: after}); n != want || err != nil {
			t.Errorf("after %v came %d, %v, want %d", after, n, err, want)
		}
	}
	if n, err := feedAfter(admin.FeedQuery{After: tids[1], Exact: true}); n != 2 || err != nil {
		t.Errorf("after the cursor came %d, %v", n, err)
	}
	if n, err := feedAfter(admin.FeedQuery{Latest: true}); n != 0 || err != nil {
		t.Errorf("after the latest came %d, %v", n, err)
	}
	if _, err := st.Pack(t.Context(), tids[2], filestorage.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	for cursor, want := range map[zodb.Tid]string{
		tids[3] + 1: "is not in this history", tids[0]: "was packed away",
	} {
		var refusal *admin.Refusal
		n, err := feedAfter(admin.FeedQuery{After: cursor, Exact: true})
		if n != 0 || !errors.As(err, &refusal) || !strings.Contains(refusal.Text, want) {
			t.Errorf("after the cursor %v came %d, %v, want %q", cursor, n, err, want)
		}
	}
}
