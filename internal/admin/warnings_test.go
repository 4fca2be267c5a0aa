package admin_test

import (
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
)

func behind(seconds float64) admin.Lag { return admin.Lag{Seconds: &seconds} }

// What an operator has to know is a warning, whichever part of the document says it; and a healthy node has none.
func TestTheDocumentSaysWhatThereIsToWarnAbout(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	long, old := now.Add(-48*time.Hour), now.AddDate(0, -2, 0)
	upstream := func(state string, lag admin.Lag) func(*admin.Status) {
		return func(st *admin.Status) {
			st.Role, st.Upstream = "secondary", &admin.Upstream{State: state, Lag: lag}
		}
	}
	secondary := func(s admin.Secondary) func(*admin.Status) {
		return func(st *admin.Status) { st.Secondaries = []admin.Secondary{s} }
	}
	disk := func(d admin.Disk) func(*admin.Status) {
		return func(st *admin.Status) { st.Storage.Disks = []admin.Disk{d} }
	}
	sync := func(s admin.Sync) func(*admin.Status) { return func(st *admin.Status) { st.Sync = &s } }
	some, noSpace, notMounted := admin.Known("x"), admin.Known("no_space"), admin.Known("not_mounted")
	for name, c := range map[string]struct {
		change func(*admin.Status)
		want   []warning.Code
	}{
		"healthy": {func(*admin.Status) {}, nil},
		"stalled": {func(st *admin.Status) {
			st.Troubles = []admin.Trouble{{Code: warning.Stalled, Stall: true}}
		}, []warning.Code{warning.Stalled}},
		"conflict": {func(st *admin.Status) { st.Conflict = &admin.Conflict{} }, []warning.Code{warning.Conflict}},
		"fenced":   {func(st *admin.Status) { st.Fenced = true }, []warning.Code{warning.Fenced}},
		"frozen":   {func(st *admin.Status) { st.Frozen = true }, []warning.Code{warning.Frozen}},
		"learner":  {func(st *admin.Status) { st.Learner = true }, []warning.Code{warning.Learner}},
		"fault":    {func(st *admin.Status) { st.Fault = some }, []warning.Code{warning.StorageFailed}},
		"closed":   {func(st *admin.Status) { st.Closed = true }, []warning.Code{warning.StorageClosed}},
		"no lease": {func(st *admin.Status) { st.Coordinator = &admin.Coordinator{} }, []warning.Code{warning.NoLease}},
		"a lease":  {func(st *admin.Status) { st.Coordinator = &admin.Coordinator{LeaseRemaining: 3} }, nil},
		"maintenance": {func(st *admin.Status) {
			st.Coordinator = &admin.Coordinator{LeaseRemaining: 3, Maintenance: true}
		}, []warning.Code{warning.Maintenance}},
		"degraded":   {sync(admin.Sync{Degraded: true}), []warning.Code{warning.SyncDegraded}},
		"sync":       {sync(admin.Sync{Required: 1}), nil},
		"impossible": {sync(admin.Sync{Required: 2}), []warning.Code{warning.SyncImpossible}},
		"other names": {func(st *admin.Status) {
			st.Sync = &admin.Sync{Required: 1, Names: []string{"db9"}}
		}, []warning.Code{warning.SyncImpossible}},
		"future":       {func(st *admin.Status) { st.Storage.Future = 2 }, []warning.Code{warning.FutureTid}},
		"a large disk": {disk(admin.Disk{Free: 30 << 30, Size: 10 << 40}), nil},
		"low":          {disk(admin.Disk{Free: 4 << 30, Size: 100 << 30}), []warning.Code{warning.DiskLow}},
		"full":         {disk(admin.Disk{Free: 1 << 29, Size: 100 << 30}), []warning.Code{warning.DiskFull}},
		"unknown room": {disk(admin.Disk{Error: some}), []warning.Code{warning.DiskUnknown}},
		"verify failed": {func(st *admin.Status) {
			st.Verify = &verify.Status{Failed: &verify.Pass{Ended: now}}
		}, []warning.Code{warning.VerifyFailed}},
		"verify late": {func(st *admin.Status) { st.Verify = &verify.Status{Next: &long} },
			[]warning.Code{warning.VerifyOverdue}},
		"archive refused": {func(st *admin.Status) { st.Archive = &admin.Archive{State: "refused"} },
			[]warning.Code{warning.ArchiveRefused}},
		"archive away": {func(st *admin.Status) { st.Archive = &admin.Archive{State: "away"} },
			[]warning.Code{warning.ArchiveAway}},
		"archive late": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", LagSeconds: 301}
		}, []warning.Code{warning.ArchiveLate}},
		"archive never verified": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", Made: &old}
		}, []warning.Code{warning.ArchiveUnverified}},
		"archive verified long ago": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", Made: &old, Verified: &old}
		}, []warning.Code{warning.ArchiveUnverified}},
		"archive verified": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", Made: &old, Verified: &long}
		}, nil},
		"new archive": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", Made: &long}
		}, nil},
		"archive damaged": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "archiving", Made: &old, Verified: &old, VerifyProblem: some}
		}, []warning.Code{warning.ArchiveDamaged}},
		"archive damaged, of another node": {func(st *admin.Status) {
			st.Archive = &admin.Archive{State: "standby", Made: &old, VerifyProblem: some}
		}, nil},
		"archive of another node": {func(st *admin.Status) { st.Archive = &admin.Archive{State: "standby"} }, nil},
		"verify runs": {func(st *admin.Status) {
			st.Verify = &verify.Status{Next: &long, Running: &verify.Running{}}
		}, nil},
		"live":         {upstream("live", behind(2)), nil},
		"seeding":      {upstream("seeding", behind(900)), nil},
		"behind":       {upstream("live", behind(31)), []warning.Code{warning.UpstreamLag}},
		"connecting":   {upstream("connecting", admin.Lag{}), []warning.Code{warning.UpstreamLost}},
		"refused":      {upstream("refused", admin.Lag{}), []warning.Code{warning.UpstreamRefused}},
		"failed":       {upstream("failed", admin.Lag{}), []warning.Code{warning.UpstreamFailed}},
		"no secondary": {func(st *admin.Status) { st.Secondaries = nil }, []warning.Code{warning.NoSecondary}},
		"gone": {func(st *admin.Status) {
			st.Disconnected = []admin.Secondary{{Name: "db3", Since: &long}}
		}, []warning.Code{warning.SecondaryLost}},
		"gone without disk": {func(st *admin.Status) {
			st.Disconnected = []admin.Secondary{{Name: "db3", Trouble: notMounted}}
		}, []warning.Code{warning.SecondaryNotMounted}},
		"no disk":      {secondary(admin.Secondary{Trouble: notMounted}), []warning.Code{warning.SecondaryNotMounted}},
		"no space":     {secondary(admin.Secondary{Trouble: noSpace}), []warning.Code{warning.SecondaryNoSpace}},
		"error":        {secondary(admin.Secondary{LastError: some}), []warning.Code{warning.SecondaryFailed}},
		"standing":     {secondary(admin.Secondary{State: "stalled"}), []warning.Code{warning.SecondaryStalled}},
		"lagging":      {secondary(admin.Secondary{Lag: behind(31)}), []warning.Code{warning.SecondaryLag}},
		"being seeded": {secondary(admin.Secondary{Lag: behind(31), Seed: &admin.Seed{}}), nil},
		"a new disk": {secondary(admin.Secondary{Replaced: &admin.Replaced{}}),
			[]warning.Code{warning.SecondaryReplaced}},
		"both of these": {secondary(admin.Secondary{LastError: some, Replaced: &admin.Replaced{}}),
			[]warning.Code{warning.SecondaryFailed, warning.SecondaryReplaced}},
	} {
		st := admin.Status{
			Role: "primary", Now: now, ReplicationAddr: admin.Known("db1:5000"),
			Secondaries: []admin.Secondary{{Name: "db2", State: "live"}},
		}
		c.change(&st)
		var got []warning.Code
		for _, found := range st.Conditions() {
			got = append(got, found.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, not %v", name, got, c.want)
		}
	}
}

// What a peer says of itself cannot break the lines that people read.
func TestTextsOfPeersAreShownOnOneLine(t *testing.T) {
	st := admin.Status{Disconnected: []admin.Secondary{{Name: "a\nb\x1b[2J", LastError: admin.Known("x\ny")}}}
	for _, c := range st.Conditions() {
		for _, r := range c.About + c.Text {
			if r < ' ' {
				t.Errorf("a control character in %q", c.About+c.Text)
			}
		}
	}
}
