package cluster

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// What a primary with a fault needs of others is said with what clients may have been told: A9.
func TestWhatClientsMayHaveBeenTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Node)
		synced zodb.Tid // above the last transaction, or below it
		told   zodb.Tid
	}{
		"what a secondary has":   {func(*Node) {}, 1, 1},
		"commits do not wait":    {func(n *Node) { n.opt.Sync.Required = 0 }, 1, 0},
		"commits may degrade":    {func(n *Node) { n.opt.Sync.OnTimeout = SyncDegrade }, 1, 0},
		"nobody can connect":     {func(n *Node) { n.replicationServer = nil }, 1, 0},
		"it is no primary":       {func(n *Node) { n.setPrimary(false) }, 1, 0},
		"it opens":               {func(n *Node) { n.entered.Store(false) }, 1, 0},
		"all, and nothing later": {func(*Node) {}, 0, 0},
	} {
		n, server := waitingPrimary(t, nil)
		last := n.st.LastTid()
		server.acknowledge(last + 1 - 2*c.synced)
		c.change(n)
		if got := n.lastTold(); got != last-c.told {
			t.Errorf("%s: up to %v, the last transaction is %v", name, got, last)
		}
	}
}

// A primary reports a fault while it is one: not while it opens, nor when it was replaced.
func TestWhoReportsAFault(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Node)
		reports bool
	}{
		"a primary":             {func(*Node) {}, true},
		"one that opens":        {func(n *Node) { n.entered.Store(false) }, false},
		"a secondary":           {func(n *Node) { n.setPrimary(false) }, false},
		"one that was replaced": {func(n *Node) { n.noteUnwritten(4) }, false},
		"one without a server":  {func(n *Node) { n.replicationServer = nil }, false},
	} {
		n, _ := waitingPrimary(t, nil)
		n.sync.overdue = 7
		c.change(n)
		if (n.FaultReason() != "") != c.reports || n.diskFull() {
			t.Errorf("%s: %q, full %v", name, n.FaultReason(), n.diskFull())
		}
	}
	for name, c := range map[string]struct {
		status protocol.NodeStatus
		want   bool
	}{
		"a primary with a fault": {protocol.NodeStatus{IsPrimary: true, FaultReason: "full"}, true},
		"a primary without one":  {protocol.NodeStatus{IsPrimary: true}, false},
		"a secondary":            {protocol.NodeStatus{FaultReason: "full"}, false},
	} {
		if got := faultOf(&c.status); (got != "") != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// What could not be written down counts until a state file has it, and the highest of it.
func TestWhatIsUnwrittenCountsUntilItIsWritten(t *testing.T) {
	n, _, _ := standing(t, nil)
	n.noteUnwritten(4)
	n.noteUnwritten(3)
	if n.unwrittenEpoch() != 4 || !n.Fenced() {
		t.Errorf("%d", n.unwrittenEpoch())
	}
	for seen, want := range map[uint64]uint64{3: 4, 4: 0} {
		update(n, func(id *state.State) { id.MaxEpochSeen = seen })
		if got := n.unwrittenEpoch(); got != want {
			t.Errorf("with epoch %d written down it is %d", seen, got)
		}
	}
	if n.keep = unwritten(); n.unwrittenEpoch() != 0 || n.Fenced() {
		t.Error("a node without a state was replaced")
	}
}

// A full disk is a fault of a primary. Whether there is room again is for it to find out while clients could write; a
// node that leads no more, or opens, has no fault.
func TestAFullDiskIsAFaultOfAPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, _ := standing(t, nil)
		n.setPrimary(true)
		n.entered.Store(true)
		if n.diskFull() || !n.TriesRoom() {
			t.Errorf("with room: full %v, it tries %v", n.diskFull(), n.TriesRoom())
		}
		n.opt.FS.(*simdisk.Disk).SetCapacity(1)
		for n.st.Ailment() == nil {
			if err := n.st.TryRoom(); err == nil {
				t.Fatal("it has room")
			}
			pause.For(t.Context(), time.Minute)
		}
		if n.FaultReason() == "" || !n.diskFull() || !n.TriesRoom() {
			t.Errorf("without: %q, full %v, it tries %v", n.FaultReason(), n.diskFull(), n.TriesRoom())
		}
		for name, c := range map[string]struct{ leads, entered bool }{
			"a secondary": {false, true}, "one that opens": {true, false},
		} {
			n.setPrimary(c.leads)
			n.entered.Store(c.entered)
			if n.diskFull() || n.TriesRoom() {
				t.Errorf("%s: full %v, it tries %v", name, n.diskFull(), n.TriesRoom())
			}
		}
	})
}

// An idle storage that has failed ends the session of a secondary, which opens it again. A primary goes on for readers.
func TestWhatAStorageThatFailsEnds(t *testing.T) {
	for _, leads := range []bool{true, false} {
		n, _, _ := standing(t, nil)
		n.setPrimary(leads)
		failed := &filestorage.FailedError{Path: "Data.fs", Cause: errors.New("failed")}
		for range 2 {
			n.StorageFailed(failed)
		}
		if ended := len(n.ended) > 0; ended == leads {
			t.Errorf("leads %v: its session ends %v", leads, ended)
		}
	}
}
