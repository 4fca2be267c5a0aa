package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// commitsNothing makes a transaction without records.
func (s *clusterNode) commitsNothing(t *testing.T) zodb.Tid {
	t.Helper()
	txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Description: []byte("nothing")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s.st.LastTid()
}

// superseded has the first node of a couple end with what f commits there alone, and the second one take its place. It
// returns the last transaction of both and that of the new primary.
func superseded(t *testing.T, f func(a *clusterNode)) (a, b *clusterNode, disk *simdisk.Disk, common, last zodb.Tid) {
	t.Helper()
	a, b, disks := couple(t)
	for range 5 { // so that what goes is less than half of the file
		common = a.commits(t)
	}
	b.has(t, common)
	b.StopFollowing()
	f(a)
	a.End(t)
	b.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	return a, b, disks[0], common, b.commits(t)
}

func isRefused(st *admin.Status) bool { return st.Upstream != nil && st.Upstream.State == "refused" }

// crashedOrFollows waits until a disk has no power, or its node has a transaction, which it reports.
func (s *site) crashedOrFollows(t *testing.T, disk *simdisk.Disk, tid zodb.Tid) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := disk.Stat("Data.fs"); errors.Is(err, simdisk.ErrPowerLoss) {
			return false
		}
		_, st, err := admin.Fetch(ctx, s.control.Dial, "")
		if err == nil && st.Storage.LastTid != nil && *st.Storage.LastTid >= tid {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("neither without power nor following")
		}
	}
}

// A former primary that has only transactions without records alone sets them aside and follows, without a person.
func TestATailWithoutRecordsIsRewoundByItself(t *testing.T) {
	var first zodb.Tid
	a, b, _, common, last := superseded(t, func(a *clusterNode) {
		first = a.commitsNothing(t)
		a.commitsNothing(t)
	})
	again := a.start(t, state.RolePrimary, b.site)
	again.has(t, last)
	again.Await(t, "it follows", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "live"
	})
	m, err := rewind.ReadManifest(a.disk, rewind.FragmentOf("Data.fs", first).Manifest)
	if err != nil || len(m.Transactions) != 2 || m.Last != common {
		t.Errorf("set aside: %+v, %v", m, err)
	}
	again.has(t, b.commits(t))
}

// One record among them, and all of it waits for a person, also when the last transaction has none.
func TestATailWithARecordWaitsForAPerson(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, a *clusterNode){
		"behind": func(t *testing.T, a *clusterNode) { t.Helper(); a.commitsNothing(t); a.commits(t) },
		"between": func(t *testing.T, a *clusterNode) {
			t.Helper()
			a.commitsNothing(t)
			a.commits(t)
			a.commitsNothing(t)
		},
		"before": func(t *testing.T, a *clusterNode) { t.Helper(); a.commits(t); a.commitsNothing(t) },
	} {
		t.Run(name, func(t *testing.T) {
			var had zodb.Tid
			a, b, _, _, _ := superseded(t, func(a *clusterNode) { f(t, a); had = a.st.LastTid() })
			again := a.start(t, state.RolePrimary, b.site)
			again.Await(t, "it is refused", isRefused)
			if err := again.Diverged(t.Context(), b.to.String()); err != nil {
				t.Errorf("it is rewound: %v", err)
			}
			if again.st.LastTid() != had || again.keep.State().Rewind != nil {
				t.Errorf("it has %v, had %v, and rewinds %+v", again.st.LastTid(), had, again.keep.State().Rewind)
			}
		})
	}
}

// Power is lost at any operation of that: the next start ends it, and nothing that the two share is gone.
func TestACrashWhileATailWithoutRecordsIsRewound(t *testing.T) {
	for e, through := 1, false; !through; e++ {
		var first zodb.Tid
		a, b, disk, common, last := superseded(t, func(a *clusterNode) { first = a.commitsNothing(t) })
		disk.PowerOffAt(len(disk.Ops()) + e)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.serve(ctx, a.storage(state.RoleSecondary, b.site)) }()
		through = a.crashedOrFollows(t, disk, last)
		cancel()
		<-ended
		again := newSite(t, disk.Crash(uint64(e)))
		again.to = a.to
		running := again.start(t, state.RoleSecondary, b.site)
		running.has(t, last)
		m, err := rewind.ReadManifest(again.disk, rewind.FragmentOf("Data.fs", first).Manifest)
		if err != nil || len(m.Transactions) != 1 || m.Last != common {
			t.Errorf("operation %d: set aside are %+v, %v", e, m, err)
		}
		running.End(t)
		b.End(t)
	}
}

// An epoch in which nothing was committed leaves the transaction with which it began, if nobody received that.
func TestAnEpochWithoutCommitsIsRewoundByItself(t *testing.T) {
	a, b, c := three(t)
	for range 5 {
		a.commits(t)
	}
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	a.End(t)
	c.End(t)
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	first := b.opened(t)
	b.End(t)
	c = c.start(t, state.RoleSecondary, a.site, b.site)
	if err := c.keep.Update(
		func(id *state.State) error { id.ObserveEpoch(2); return nil },
	); err != nil { // it has heard
		t.Fatal(err)
	}
	if _, err := c.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	again := b.start(t, state.RoleSecondary, c.site)
	again.has(t, c.commits(t))
	m, err := rewind.ReadManifest(b.disk, rewind.FragmentOf("Data.fs", first).Manifest)
	if err != nil || len(m.Transactions) != 1 || len(m.Transactions[0].Objects) != 0 {
		t.Errorf("set aside: %+v, %v", m, err)
	}
}

// What zrsd rewind asks a person about, or refuses, is not done without one.
func TestWhatNeedsAnOperatorIsNotRewoundWithoutOne(t *testing.T) {
	t.Run("more than half of the file", func(t *testing.T) {
		a, b, _, _, _ := superseded(t, func(a *clusterNode) {
			for range 40 {
				a.commitsNothing(t)
			}
		})
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("the blobs are shared", func(t *testing.T) {
		a, b, disk, _, _ := superseded(t, func(a *clusterNode) { a.commitsNothing(t) })
		if _, err := blobstore.Open("primarys", blobstore.Options{FS: disk}); err != nil {
			t.Fatal(err)
		}
		a.sharedBlobs = "primarys"
		waitsForAPerson(t, a.start(t, state.RoleSecondary, b.site), b)
	})
	t.Run("the node is a copy", func(t *testing.T) {
		a, b, disk, _, _ := superseded(t, func(a *clusterNode) { a.commitsNothing(t) })
		keep, err := state.Open(disk, "Data.fs")
		if err == nil {
			err = keep.Settle()
		}
		if err != nil {
			t.Fatal(err)
		}
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
	t.Run("a folder of blobs that is not named lies beside the file", func(t *testing.T) {
		a, b, disk, _, _ := superseded(t, func(a *clusterNode) { a.commitsNothing(t) })
		if _, err := blobstore.Open("blobs", blobstore.Options{FS: disk}); err != nil {
			t.Fatal(err)
		}
		waitsForAPerson(t, a.start(t, state.RolePrimary, b.site), b)
	})
}

// With reseed auto, what was told to nobody and is too much to be rewound is set aside with the whole file. What may
// have been told to a client never is.
func TestTooMuchToBeRewoundIsSetAsideAsAWhole(t *testing.T) {
	for name, told := range map[string]bool{"nobody was told": false, "somebody may have been told": true} {
		t.Run(name, func(t *testing.T) {
			a, b, disk, _, _ := superseded(t, func(a *clusterNode) {
				for range 40 {
					a.commitsNothing(t)
				}
				if told {
					a.commits(t)
				}
			})
			a.reseed = node.ReseedAuto
			had := nodetest.Content(t, disk, "Data.fs")
			again := a.start(t, state.RolePrimary, b.site)
			if told {
				waitsForAPerson(t, again, b)
				return
			}
			st := again.Await(t, "it is a copy again", func(st *admin.Status) bool {
				return st.Ready && !st.Learner && len(st.Reseeds) == 1 && st.Role == "secondary"
			})
			if st.Reseeds[0].Why != state.ReseedHistory || !bytes.Equal(had,
				nodetest.Content(t, disk, "Data.fs."+st.Reseeds[0].Name)) {
				t.Errorf("%+v", st.Reseeds)
			}
			again.has(t, b.commits(t))
		})
	}
}

func waitsForAPerson(t *testing.T, s, primary *clusterNode) {
	t.Helper()
	s.Await(t, "it is refused", isRefused)
	if err := s.Diverged(t.Context(), primary.to.String()); err != nil || s.keep.State().Rewind != nil {
		t.Errorf("it is rewound: %v", err)
	}
}

// A former primary has transactions that nobody else has. It is refused, until it is rewound, and then follows.
func TestAFormerPrimaryIsRewoundAndFollows(t *testing.T) {
	a, b, c := three(t)
	common := a.st.LastTid()
	b.StopFollowing()
	c.StopFollowing()
	first := a.commits(t)
	last := a.commits(t)
	a.End(t)
	b.StartFollowing()
	c.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	b.commits(t)

	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.isToldToRewindTo(t, b)
	again.End(t)

	site := &rewind.Storage{FS: a.disk, Data: "Data.fs", Logger: hclog.NewNullLogger()}
	plan := planned(t, a.site, b)
	if plan.Last != common || plan.First != first || plan.Until != last {
		t.Fatalf("the plan is %+v, want %v, %v to %v", plan, common, first, last)
	}
	plan.Follow = []string{b.to.String()}
	if err := site.Begin(plan); err != nil {
		t.Fatal(err)
	}
	rewound := a.start(t, state.RolePrimary, b.site, c.site) // which finishes it
	rewound.follows(t, b)
	rewound.has(t, b.commits(t))
	if rewound.keep.Node() != again.keep.Node() {
		t.Error("it is taken for another node because its file is shorter now")
	}
	m, err := rewind.ReadManifest(a.disk, rewind.FragmentOf("Data.fs", first).Manifest)
	if err != nil || len(m.Transactions) != 2 || m.Last != common {
		t.Errorf("set aside: %+v, %v", m, err)
	}
	if rewound.epoch() != 2 || rewound.IsPrimary() {
		t.Errorf("epoch %d", rewound.epoch())
	}
}

// isToldToRewindTo expects that a node is refused, and says the command that helps, with the address of the primary.
func (s *clusterNode) isToldToRewindTo(t *testing.T, primary *clusterNode) {
	t.Helper()
	command := "the command for it: zrsd rewind --data Data.fs --primary " + primary.to.String()
	s.Await(t, "it is refused, and says: "+command, func(st *admin.Status) bool { // once it has heard of the primary
		return isRefused(st) && st.NotReady != nil && strings.HasSuffix(*st.NotReady, command)
	})
}

// The same when the new primary has packed past what the former one has alone: that it is absent there proves nothing.
func TestADivergedNodeIsRefusedAfterAPack(t *testing.T) {
	a, b, c := three(t)
	b.StopFollowing()
	c.StopFollowing()
	first := a.commits(t)
	last := a.commits(t)
	a.End(t)
	b.StartFollowing()
	c.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.commits(t)
	}
	if res, err := b.st.Pack(t.Context(), b.st.LastTid(), filestorage.PackOptions{}); err != nil || !res.Packed {
		t.Fatalf("%+v, %v", res, err)
	}
	b.commits(t)
	again := a.start(t, state.RolePrimary, b.site, c.site)
	again.Await(t, "it is refused", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "refused"
	})
	again.End(t)
	if plan := planned(t, a.site, b); plan.First != first || plan.Until != last {
		t.Errorf("the plan is %+v, want %v to %v", plan, first, last)
	}
}

// A secondary that serves others tells them of a new epoch before it sends anything of that, so that nobody has
// something of an epoch that it does not know.
func TestASecondaryOfASecondaryHearsOfANewEpochFirst(t *testing.T) {
	a, b, c := three(t)
	sd := newSite(t, simdisk.New())
	d := sd.start(t, state.RoleSecondary, c.site) // its upstream is a secondary
	d.has(t, a.st.LastTid())
	handOver(t, a, b)
	last := b.commits(t)
	d.has(t, last)
	if d.epoch() != 2 {
		t.Errorf("it has %v of epoch 2, and knows only of epoch %d", last, d.epoch())
	}
}

// planned asks a primary how a storage that nobody has open is to be rewound.
func planned(t *testing.T, s *site, primary *clusterNode) *state.Rewind {
	t.Helper()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: s.disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keep, err := state.Open(s.disk, "Data.fs")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := rewind.Common(t.Context(), st, keep.State(), &rewind.Remote{
		Dial:  func(ctx context.Context) (net.Conn, error) { return primary.to.Dial(ctx) },
		State: keep.State(), Magic: st.Magic(), Name: "rewind",
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// cascaded has the first of four nodes end with what f commits there alone, the second one lead, the third one follow
// that, and the fourth one the third.
func cascaded(t *testing.T, f func(a *clusterNode)) (a, b, d *clusterNode) {
	t.Helper()
	a, b, c := three(t)
	for range 8 {
		a.commits(t)
	}
	b.has(t, a.st.LastTid())
	c.has(t, a.st.LastTid())
	b.StopFollowing()
	c.StopFollowing()
	f(a)
	a.End(t)
	b.StartFollowing()
	c.StartFollowing()
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
		t.Fatal(err)
	}
	c.follows(t, b)
	d = newSite(t, simdisk.New()).start(t, state.RoleSecondary, c.site)
	d.has(t, b.commits(t))
	return a, b, d
}

// A node that was refused by a secondary says the address of the primary, also where it knows only a secondary, or a
// secondary of one.
func TestTheCommandNamesThePrimary(t *testing.T) {
	a, b, d := cascaded(t, func(a *clusterNode) { a.commits(t) })
	again := a.movedAway(t).start(t, state.RoleSecondary, d.site)
	again.isToldToRewindTo(t, b)
}

// It is rewound by itself to what the primary has.
func TestWhoKnowsOnlyASecondaryIsRewoundByItself(t *testing.T) {
	var first zodb.Tid
	a, b, d := cascaded(t, func(a *clusterNode) { first = a.commitsNothing(t) })
	again := a.movedAway(t).start(t, state.RoleSecondary, d.site)
	again.has(t, b.commits(t))
	if m, err := rewind.ReadManifest(a.disk, rewind.FragmentOf("Data.fs", first).Manifest); err != nil ||
		len(m.Transactions) != 1 {
		t.Errorf("set aside: %+v, %v", m, err)
	}
}

// movedAway is a node that does not run where nobody knows it, and it nobody.
func (s *clusterNode) movedAway(t *testing.T) *site {
	t.Helper()
	keep, err := state.Open(s.disk, "Data.fs")
	if err == nil {
		err = keep.Update(func(id *state.State) error {
			id.Follow, id.Role = nil, ""
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, s.disk)
}

// Power is lost early in the first start after a rewind that was written down, and perhaps finished: the next start
// finishes it and follows.
func TestACrashInTheFirstStartAfterARewind(t *testing.T) {
	for e := 1; e <= 61; e += 6 {
		a, b, disks := couple(t)
		b.StopFollowing()
		first := a.commits(t)
		a.commits(t)
		a.End(t)
		b.StartFollowing()
		if _, err := b.Promote(t.Context(), admin.PromoteRequest{Force: true}, silent); err != nil {
			t.Fatal(err)
		}
		last := b.commits(t)
		plan := planned(t, a.site, b)
		plan.Follow = []string{b.to.String()}
		site := &rewind.Storage{FS: disks[0], Data: "Data.fs", Logger: hclog.NewNullLogger()}
		if err := site.Begin(plan); err != nil {
			t.Fatal(err)
		}
		if e%4 == 1 {
			if _, err := site.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		disks[0].PowerOffAt(len(disks[0].Ops()) + e)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // it may come to nothing more on its disk
		_ = a.serve(ctx, a.storage(state.RoleSecondary, b.site))
		cancel()
		again := newSite(t, disks[0].Crash(uint64(e)))
		again.to = a.to
		running := again.start(t, state.RolePrimary, b.site)
		running.has(t, last)
		m, err := rewind.ReadManifest(again.disk, rewind.FragmentOf("Data.fs", first).Manifest)
		if err != nil || len(m.Transactions) != 2 {
			t.Errorf("operation %d: set aside are %+v, %v", e, m, err)
		}
		running.End(t)
		b.End(t)
	}
}
