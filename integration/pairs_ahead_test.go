package integration

import (
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// goAhead lets a pair replicate a first history, stops the secondary, and writes in its files.
func goAhead(t *testing.T, from, to *software, source, target *site) (first primary, addr string) {
	t.Helper()
	addr = freeAddress(t)
	first = from.primary(t, source, addr)
	second := to.secondary(t, target, addr, "")
	second.reach(t, first.do(t, "create 3"))
	second.stop(t)
	owner := startOwner(t, target)
	owner.do(t, "commit 3")
	owner.close(t)
	return first, addr
}

// zc.zrs tells a secondary that is ahead nothing, and closes the connection.
func TestASecondaryThatIsAheadOfZcZRSStopsAndSaysSo(t *testing.T) {
	t.Parallel()
	source, target := newSite(t, false), newSite(t, false)
	first, addr := goAhead(t, zcZRS, zrsdBy("zrs2"), source, target)
	second := start(t, "secondary", target, "--protocol", "zrs2", "--replicate-from", addr)
	status, err := second.Await(within(t), "it gives up", func(s *admin.Status) bool {
		return s.Upstream.State == "refused"
	})
	if err != nil {
		t.Fatal(err)
	}
	if status.Upstream.LastError == nil {
		t.Error("the operator is not told why")
	}
	first.do(t, "commit 3")
	stop(t, second)
}

// A secondary with zc.zrs asks for ever. The operator of the primary learns it.
func TestAZcZRSSecondaryThatIsAheadOfZrsdIsShownOnThePrimary(t *testing.T) {
	t.Parallel()
	source, target := newSite(t, false), newSite(t, false)
	first, addr := goAhead(t, zrsdBy("zrs2"), zcZRS, source, target)
	startZcZRS(t, target, "--from", addr)
	zrsd := first.(*zrsdPrimary).zrsdServer
	if _, err := zrsd.Await(within(t), "it refuses the secondary", func(s *admin.Status) bool {
		return s.Totals.Refusals["ahead"] > 0
	}); err != nil {
		t.Fatal(err)
	}
	if err := zrsd.Log().Await(within(t), "ahead"); err != nil {
		t.Error(err)
	}
}
