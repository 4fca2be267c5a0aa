package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// bothWays are the variants of a story that is told without and with blobs.
var bothWays = map[string]bool{"without blobs": false, "with blobs": true}

// replicate brings a new site up to last from the files of source, with a real primary and a real secondary, and stops
// both.
func replicate(t *testing.T, source *site, last zodb.Tid) *site {
	t.Helper()
	target := newSite(t, source.blobs != "")
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	secondary := start(t, "secondary", target, "--replicate-from", addr)
	mustReach(t, secondary, last)
	stop(t, secondary)
	stop(t, primary)
	return target
}

func TestRealZODBReadsWhatASecondaryWrote(t *testing.T) {
	for name, withBlobs := range bothWays {
		t.Run(name, func(t *testing.T) {
			source := newSite(t, withBlobs)
			owner := startOwner(t, source)
			for _, command := range []string{
				"create 12", "commit 20", "undo", "pack", "create 3", "commit 10", "undo", "undo", "create 1", "undo",
				"commit 2",
			} {
				owner.do(t, command)
			}
			target := replicate(t, source, owner.close(t))

			mustBeIdentical(t, source, target)
			found := surveyOf(t, target)
			if len(found.Dangling) > 0 {
				t.Errorf("references to objects that are not there: %v", found.Dangling)
			}
			if diff := cmp.Diff(surveyOf(t, source), found); diff != "" {
				t.Errorf("ZODB sees another database in the secondary (-primary +secondary):\n%s", diff)
			}
			mustBeSound(t, target)
		})
	}
}

func TestRealZODBPacksAndWritesWhatZrsdWroteAndZrsdReadsThatAgain(t *testing.T) {
	for name, withBlobs := range bothWays {
		t.Run(name, func(t *testing.T) {
			source := newSite(t, withBlobs)
			last := ownHistory(t, source, 30)
			target := replicate(t, source, last)

			owner := startOwner(t, target)
			for _, command := range []string{"create 6", "commit 5", "pack", "commit 5", "undo", "create 2"} {
				owner.do(t, command)
			}
			last = owner.close(t)
			mustBeSound(t, target)

			again := replicate(t, target, last)
			mustBeIdentical(t, target, again)
			if diff := cmp.Diff(surveyOf(t, target), surveyOf(t, again)); diff != "" {
				t.Errorf("ZODB sees another database in the copy:\n%s", diff)
			}
		})
	}
}

func TestASecondaryGoesOnAfterRealZODBHadItsFilesOpen(t *testing.T) {
	source := newSite(t, true)
	addr := freeAddress(t)
	storage := source.open(t)
	owner := newOwner(t, storage, 1)
	start(t, "primary", source, "--attach", "--replicate-to", addr)

	target := newSite(t, true)
	for range 3 {
		last := commitSome(t, owner, 10)
		secondary := start(t, "secondary", target, "--replicate-from", addr)
		mustReach(t, secondary, last)
		stop(t, secondary)
		surveyOf(t, target)
	}
	mustBeIdentical(t, source, target)
}
