package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/daemon"
)

// beside starts a primary that follows the files of source, and a secondary of it.
func beside(t *testing.T, source, target *site) (primary, secondary *daemon.Process) {
	t.Helper()
	addr := freeAddress(t)
	primary = start(t, "primary", source, "--attach", "--replicate-to", addr)
	secondary = start(t, "secondary", target, "--replicate-from", addr)
	return primary, secondary
}

func TestAttachFollowsAPythonProcessThatCommitsAndUndoesAndRestarts(t *testing.T) {
	for name, withBlobs := range bothWays {
		t.Run(name, func(t *testing.T) {
			source, target := newSite(t, withBlobs), newSite(t, withBlobs)
			owner := startOwner(t, source)
			_, secondary := beside(t, source, target)
			for range 3 {
				mustReach(t, secondary, owner.do(t, "create 4"))
				mustReach(t, secondary, owner.do(t, "commit 10"))
				mustReach(t, secondary, owner.do(t, "undo"))
				mustReach(t, secondary, owner.close(t))
				owner = startOwner(t, source)
			}
			mustReach(t, secondary, owner.do(t, "commit 5"))
			mustReach(t, secondary, owner.close(t))
			stop(t, secondary)
			mustBeIdentical(t, source, target)
		})
	}
}

func TestAttachLosesNothingWhenThePythonProcessPacks(t *testing.T) {
	for name, withBlobs := range bothWays {
		t.Run(name, func(t *testing.T) {
			source, target := newSite(t, withBlobs), newSite(t, withBlobs)
			owner := startOwner(t, source)
			primary, secondary := beside(t, source, target)
			owner.do(t, "create 10")
			for range 3 {
				// Blobs that a pack removes before they are sent are gone for everybody.
				mustReach(t, secondary, owner.do(t, "commit 20"))
				owner.do(t, "pack")
				mustReach(t, secondary, owner.do(t, "commit 3"))
			}
			last := owner.close(t)
			mustReach(t, secondary, last)
			stop(t, secondary)
			stop(t, primary)

			mustBeSound(t, target)
			packed, full := surveyOf(t, source), surveyOf(t, target)
			if packed.LastTid != full.LastTid || packed.Current != full.Current {
				t.Errorf("the current objects differ: packed primary %+v, secondary %+v", packed, full)
			}
			if full.Transactions < packed.Transactions {
				t.Errorf("the secondary lost history: %d transactions, the packed primary has %d",
					full.Transactions, packed.Transactions)
			}
			mustBeIdentical(t, source, replicate(t, source, last))
		})
	}
}

func TestAttachNeverStreamsATransactionThatDiedInItsVote(t *testing.T) {
	source, target := newSite(t, false), newSite(t, false)
	owner := startOwner(t, source)
	primary, secondary := beside(t, source, target)
	last := owner.do(t, "commit 5")
	mustReach(t, secondary, last)
	for range 3 {
		owner.do(t, "vote")
		owner.kill(t)
		mustHave(t, primary, last)
		mustHave(t, secondary, last)
		owner = startOwner(t, source)
		last = owner.do(t, "commit 3")
		mustReach(t, secondary, last)
	}
	owner.close(t)
	stop(t, secondary)
	mustBeIdentical(t, source, target)
}

func TestAttachSurvivesThatThePythonProcessIsKilledWhileItCommits(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	owner := startOwner(t, source)
	owner.do(t, "create 6")
	_, secondary := beside(t, source, target)
	for range rounds(4) {
		before := owner.do(t, "commit 2")
		owner.begin(t, "commit 100000")
		if _, err := secondary.Await(within(t), "commits arrive", newerThan(before)); err != nil {
			t.Fatal(err)
		}
		owner.kill(t)
		owner = startOwner(t, source)
	}
	mustReach(t, secondary, owner.do(t, "commit 1"))
	owner.close(t)
	stop(t, secondary)
	compareFiles(t, source.data, target.data)
	// A killed Python process leaves blobs behind whose transactions do not exist; the survey reads those that count.
	if diff := cmp.Diff(surveyOf(t, source), surveyOf(t, target)); diff != "" {
		t.Errorf("ZODB sees another database in the secondary (-primary +secondary):\n%s", diff)
	}
}
