package drill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/drill/workload"
	"github.com/zrsd/zrsd/internal/pause"
)

var slowDisk = Scenario{
	Name: "slow-disk",
	about: "One node, the primary or a secondary, is slow for a while: the others wait for it, and all answers " +
		"are right.",
	simulated: "the process is stopped and continued in turn (SIGSTOP, SIGCONT), so all of it is slow and not only " +
		"its disk",
	Steps: []Step{commitsGoOn, slowNode, commitsGoOn, redundancy},
}

// slowNode lets a node run for a tenth of the time.
func slowNode(ctx context.Context, r *Run) error {
	n := r.Nodes[r.rand.IntN(len(r.Nodes))]
	r.fault("%s is slow", n.Name)
	for range 10 {
		if err := n.Freeze(ctx); err != nil {
			return err
		}
		pause.For(ctx, 90*time.Millisecond)
		if err := n.Wake(); err != nil {
			return err
		}
		pause.For(ctx, 10*time.Millisecond)
	}
	return context.Cause(ctx)
}

var fullDisk = Scenario{
	Name: "full-disk",
	about: "The disk of the primary is full: commits are refused, and all that was acknowledged is there. When " +
		"there is room again, commits continue.",
	simulated: "the size of the primary's files is limited (prlimit), so writing fails with EFBIG where a full " +
		"disk has ENOSPC",
	Steps: []Step{commitsGoOn, fillDisk, nothingGoes, emptyDisk, commitsGoOn, redundancy},
}

func fillDisk(_ context.Context, r *Run) error {
	room := r.rand.Int64N(20_000)
	r.fault("the disk of %s is full after %d bytes", r.primary.Name, room)
	return r.primary.FillDisk(room)
}

// nothingGoes waits until commits are refused, or end with their connection.
func nothingGoes(ctx context.Context, r *Run) error {
	failed := func() int { return r.load.Log.Count(consistency.Refused) + r.load.Log.Count(consistency.Unknown) }
	before := failed()
	return until(ctx, "the full disk is noticed", func() bool { return failed() > before+5 })
}

func emptyDisk(ctx context.Context, r *Run) error {
	r.note(noteEvent, "there is room on the disk of %s", r.primary.Name)
	if err := r.primary.FillDisk(-1); err != nil {
		return err
	}
	if r.primary.Running() {
		return nil
	}
	return startPrimary(ctx, r)
}

var clockJump = Scenario{
	Name: "clock-jump",
	about: "The clock of the primary is a day ahead for a moment: tids count up from there, also after a " +
		"secondary was promoted.",
	simulated: "a client commits a transaction with a tid of tomorrow, as such a clock would give it; " +
		"the clock of this machine is not changed",
	Steps: []Step{
		commitsGoOn,
		commitTomorrow,
		commitsGoOn,
		handOver,
		commitsGoOn,
		killPrimary,
		promote,
		commitsGoOn,
		startFormer,
		redundancy,
	},
}

// commitTomorrow commits with a tid of tomorrow.
func commitTomorrow(ctx context.Context, r *Run) error {
	r.fault("the clock of %s jumps a day ahead, and back", r.primary.Name)
	ahead := time.Now().Add(24*time.Hour + time.Duration(r.rand.Int64N(int64(time.Hour))))
	if err := r.load.CommitAt(ctx, ahead); err != nil {
		return fmt.Errorf("committing with a tid of %v: %w", ahead, err)
	}
	return nil
}

var packDuringFailover = Scenario{
	Name: "pack-during-failover",
	about: "The primary is killed while it packs, and a secondary promoted; the former primary comes back with " +
		"what its pack has left.",
	Steps: []Step{
		commitsGoOn,
		redundancy,
		rememberHistory,
		packAndKill,
		promote,
		commitsGoOn,
		startFormer,
		redundancy,
		commitsGoOn,
	},
}

// rememberHistory takes down what every node has, before a pack drops some of it.
func rememberHistory(ctx context.Context, r *Run) error {
	txns, err := workload.ReadFile(ctx, r.primary.Data(), r.objects())
	if err != nil {
		return err
	}
	rest := slices.IndexFunc(txns, func(txn consistency.Txn) bool { return txn.Tid > r.mark })
	if rest >= 0 {
		txns = txns[:rest]
	}
	r.packed = append(r.packed, txns)
	return nil
}

// packAndKill kills the primary at some time of its pack. It packs only what is remembered.
func packAndKill(ctx context.Context, r *Run) error {
	r.fault("%s is killed while it packs", r.primary.Name)
	after := time.Duration(r.rand.Int64N(int64(60 * time.Millisecond)))
	until := time.Now()
	if at := r.mark.Time(); at.Before(until) { // with a clock that was ahead, everything is after it
		until = at
	}
	packing, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func(n *cluster.Node) {
		defer close(done)
		_ = n.Pack(packing, until) // broken off, or done before: both are right
	}(r.primary)
	pause.For(ctx, after)
	err := r.primary.Kill()
	<-done
	return err
}
