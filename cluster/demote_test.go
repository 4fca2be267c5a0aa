package cluster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

func TestAFrozenPrimaryIsReadAndTakesNothing(t *testing.T) {
	a, b, _ := three(t)
	_, err := a.Freeze(t.Context(), admin.FreezeRequest{DryRun: true}, silent)
	if err != nil || a.Access() != zeo.Writable {
		t.Fatalf("a dry run: %v, access %v", err, a.Access())
	}
	if _, err := a.Freeze(t.Context(), admin.FreezeRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	if _, err := a.tryCommit(t.Context()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("it commits: %v", err)
	}
	if a.Access() != zeo.Frozen {
		t.Errorf("access %v", a.Access())
	}
	a.End(t)
	again := a.start(t, state.RolePrimary, b.site)
	st := again.Await(t, "it is open", func(st *admin.Status) bool { return st.Storage.LastTid != nil })
	if st.Ready || !strings.Contains(*st.NotReady, "frozen") {
		t.Errorf("after a restart: %+v", st)
	}
	if _, err := again.Thaw(t.Context(), admin.FreezeRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	b.has(t, again.commits(t))
}

func TestADemotedPrimaryFollows(t *testing.T) {
	a, b, c := three(t)
	_, err := a.Demote(t.Context(), admin.DemoteRequest{Follow: []string{"/nowhere/at/all"}}, silent)
	refused(t, err, admin.Unavailable, "nobody answers at /nowhere/at/all")
	change, err := a.Demote(t.Context(), admin.DemoteRequest{Follow: []string{b.to.String()}}, silent)
	if err != nil || len(change.Warnings) == 0 || change.Role != "secondary" {
		t.Fatalf("%+v, %v", change, err)
	}
	if _, err := b.Promote(t.Context(), admin.PromoteRequest{}, silent); err != nil {
		t.Fatal(err)
	}
	next := b.commits(t)
	for _, s := range []*clusterNode{a, c} {
		s.follows(t, b)
		s.has(t, next)
	}
}
