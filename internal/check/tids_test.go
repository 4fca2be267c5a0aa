package check_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/zodb"
)

// testdata/tids-down has transactions of minutes 10 to 41 of 2024-05-06 08:00; three are below their predecessors.
func TestTidsThatGoDownOrAreInTheFutureAreNamed(t *testing.T) {
	for now, want := range map[string]struct {
		down, future int64
		warnings     []check.Kind
	}{
		"2024-05-06T09:00:00Z": {3, 0, []check.Kind{check.KindTidOrder, check.KindTidOrder, check.KindTidOrder}},
		"2024-05-06T08:25:00Z": {3, 3, []check.Kind{
			check.KindTidFuture, check.KindTidOrder, check.KindTidOrder, check.KindTidOrder,
		}},
	} {
		clock, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		sum, damage, warnings := run(
			t,
			check.Options{Path: "../../testdata/tids-down/Data.fs", Now: func() time.Time { return clock }},
		)
		if len(damage) > 0 || sum.TidsDown != want.down || sum.TidsFuture != want.future {
			t.Errorf("%s: %v, %d down, %d in the future", now, damage, sum.TidsDown, sum.TidsFuture)
		}
		if diff := cmp.Diff(want.warnings, warnings); diff != "" {
			t.Errorf("%s: %s", now, diff)
		}
		if last := zodb.Tid(0x03f8659900000000); sum.LastTid == nil || *sum.LastTid != last {
			t.Errorf("the last transaction is %v, want %v", sum.LastTid, last)
		}
	}
}
