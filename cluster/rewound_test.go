package cluster_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

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

	again := a.seated(t, state.RolePrimary, b.site, c.site)
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
	rewound := a.seated(t, state.RolePrimary, b.site, c.site) // which finishes it
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
func (s *seat) isToldToRewindTo(t *testing.T, primary *seat) {
	t.Helper()
	st := s.Await(t, "it is refused", isRefused)
	command := "the command for it: zrsd rewind --data Data.fs --primary " + primary.to.String()
	if st.NotReady == nil || !strings.HasSuffix(*st.NotReady, command) {
		t.Errorf("it says %v, not: %s", st.NotReady, command)
	}
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
	again := a.seated(t, state.RolePrimary, b.site, c.site)
	again.Await(t, "it is refused", func(st *admin.Status) bool {
		return st.Upstream != nil && st.Upstream.State == "refused"
	})
	again.End(t)
	if plan := planned(t, a.site, b); plan.First != first || plan.Until != last {
		t.Errorf("the plan is %+v, want %v to %v", plan, first, last)
	}
}

// A secondary that feeds others tells them of a new epoch before it sends anything of that, so that nobody has
// something of a reign that it does not know.
func TestWhoIsFedByASecondaryHearsOfANewEpochFirst(t *testing.T) {
	a, b, c := three(t)
	sd := newSite(t, simdisk.New())
	d := sd.seated(t, state.RoleSecondary, c.site) // fed by a secondary
	d.has(t, a.st.LastTid())
	handOver(t, a, b)
	last := b.commits(t)
	d.has(t, last)
	if d.epoch() != 2 {
		t.Errorf("it has %v of epoch 2, and knows only of epoch %d", last, d.epoch())
	}
}

// planned asks a primary how a storage that nobody has open is to be rewound.
func planned(t *testing.T, s *site, primary *seat) *state.Rewind {
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
