package admin

import (
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/warning"
)

// Conditions returns what holds by the rest of the document, for Warnings. What only the node itself can know, such as
// the dates of its certificates, it adds.
func (st *Status) Conditions() []warning.Condition {
	var c conditions
	for _, t := range st.Troubles {
		c = append(c, warning.Condition{Code: t.Code, About: "", Text: t.Text, Since: t.Since})
	}
	c.roles(st)
	c.storage(st)
	if u := st.Upstream; u != nil {
		c.upstream(u)
	}
	c.secondaries(st)
	if st.Archive != nil {
		c.archive(st.Archive, st.Now)
	}
	return c
}

type conditions []warning.Condition

func (c *conditions) add(code warning.Code, about, format string, args ...any) {
	*c = append(*c, warning.Condition{
		Code: code, About: printable.Line(about), Text: printable.Line(fmt.Sprintf(format, args...)),
	})
}

func (c *conditions) roles(st *Status) {
	if st.Conflict != nil {
		c.add(warning.Conflict, "", "conflict of %s: %s", st.Conflict.Kind, st.Conflict.Text)
	}
	if st.Fenced {
		c.add(warning.Fenced, "", "another node has become primary, and this one takes no transactions")
	}
	if st.Frozen {
		c.add(warning.Frozen, "", "frozen: it takes no transactions")
	}
	if st.Learner {
		c.add(warning.Learner, "", "this copy was begun anew and has not caught up with a primary")
	}
	if r := st.Coordinator; r != nil {
		if st.Role == "primary" && !st.Fenced && r.LeaseRemaining <= 0 {
			c.add(warning.NoLease, "", "commits are held: this primary has no lease; %s", text(r.Doing))
		}
		if r.LastError != nil {
			c.add(warning.CoordinatorLost, "", "the coordinator does not answer as it should: %s", *r.LastError)
		}
		if r.Maintenance {
			c.add(warning.Maintenance, "", "maintenance: no node is promoted or demoted automatically")
		}
	}
	if s := st.Sync; s != nil {
		c.sync(st, s)
	}
}

func (c *conditions) sync(st *Status, s *Sync) {
	if s.Degraded {
		c.add(warning.SyncDegraded, "", "commits do not wait for secondaries: they may be lost with this node")
		if s.DegradedSince != nil {
			(*c)[len(*c)-1].Since = *s.DegradedSince
		}
	}
	connected := 0
	for _, sec := range st.Secondaries {
		if len(s.Names) == 0 || slices.Contains(s.Names, sec.Name) {
			connected++
		}
	}
	if st.Role == "primary" && connected < s.Required {
		c.add(warning.SyncImpossible, "", "commits wait for %s, and of those that count %d are connected",
			Secondaries(s.Required), connected)
	}
}

// overdue is for how long a verification may be late.
const overdue = 24 * time.Hour

func (c *conditions) storage(st *Status) {
	if st.Fault != nil {
		c.add(warning.StorageFailed, "", "it takes no transactions: %s", *st.Fault)
	}
	if st.Closed {
		c.add(warning.StorageClosed, "", "the storage is not open: %s", text(st.NotReady))
	}
	if ahead := st.Storage.Future; ahead > 0 {
		c.add(warning.FutureTid, "", "the last transaction is %v in the future: a clock was ahead, or this one is "+
			"behind", time.Duration(ahead*float64(time.Second)).Round(time.Second))
	}
	for _, d := range st.Storage.Disks {
		c.disk(&d)
	}
	if st.Packs != nil {
		c.packs(st.Packs)
	}
	v := st.Verify
	if v == nil {
		return
	}
	if v.Failed != nil {
		c.add(warning.VerifyFailed, "", "the verification that ended at %s did not come to its end: %s",
			timeText(&v.Failed.Ended), text(v.Failed.Error))
	}
	if v.Running == nil && v.Next != nil && st.Now.Sub(*v.Next) > overdue {
		c.add(warning.VerifyOverdue, "", "the storage should have been verified at %s", timeText(v.Next))
	}
}

func (c *conditions) packs(p *packplan.State) {
	if p.LeftOut != nil {
		c.add(warning.PackSkipped, "", "not all nodes have packed at %s, as scheduled: %s", timeText(&p.LeftOut.Time),
			p.LeftOut.Why)
	}
	if p.Failed != nil {
		c.add(warning.PackSkipped, "", "the pack that was scheduled for %s has failed: %s", timeText(p.Done), *p.Failed)
	}
	if p.Waits != nil {
		c.add(warning.PackSkipped, "", "the pack that was scheduled waits: %s", *p.Waits)
	}
}

func (c *conditions) disk(d *Disk) {
	if d.Error != nil {
		c.add(warning.DiskUnknown, d.Folder, "%s", *d.Error)
	} else if code := warning.ForDisk(d.Free, d.Size); code != "" {
		c.add(code, d.Folder, "%s left of %s on the disk of %s", bytesText(&d.Free), bytesText(&d.Size), d.Folder)
	}
}

func (c *conditions) upstream(u *Upstream) {
	switch u.State {
	case "refused":
		c.add(warning.UpstreamRefused, "", "the primary refuses this secondary: %s", text(u.LastError))
	case "failed":
		c.add(warning.UpstreamFailed, "", "the storage takes no transactions: %s", text(u.LastError))
	case "connecting", "waiting", "stopped":
		c.add(warning.UpstreamLost, "", "this secondary follows no primary: %s", text(u.LastError))
	case "live", "catching-up":
		if behind(&u.Lag) {
			c.add(warning.UpstreamLag, "", "this secondary is %.0f seconds behind its primary", *u.Lag.Seconds)
		}
	}
}

func behind(l *Lag) bool { return l.Seconds != nil && *l.Seconds > warning.SecondsBehind }

func (c *conditions) secondaries(st *Status) {
	if st.Role == "primary" && st.ReplicationAddr != nil && len(st.Secondaries) == 0 {
		c.add(warning.NoSecondary, "", "no secondary is connected: what is committed is on this node only")
	}
	for i := range st.Secondaries {
		c.secondary(&st.Secondaries[i])
	}
	for _, s := range st.Disconnected {
		switch text(s.Trouble) {
		case "not_mounted":
			c.add(warning.SecondaryNotMounted, s.Name, "secondary %s does not start: %s", s.Name, text(s.LastError))
		case "no_space":
			c.add(warning.SecondaryNoSpace, s.Name, "secondary %s: %s", s.Name, text(s.LastError))
		default:
			c.add(warning.SecondaryLost, s.Name, "secondary %s is not connected: %s", s.Name, text(s.LastError))
		}
		if s.Since != nil {
			(*c)[len(*c)-1].Since = *s.Since
		}
	}
}

func (c *conditions) secondary(s *Secondary) {
	switch {
	case text(s.Trouble) == "not_mounted":
		c.add(warning.SecondaryNotMounted, s.Name, "secondary %s does not start: %s", s.Name, text(s.LastError))
	case text(s.Trouble) == "no_space":
		c.add(warning.SecondaryNoSpace, s.Name, "secondary %s: %s", s.Name, text(s.LastError))
	case s.LastError != nil:
		c.add(warning.SecondaryFailed, s.Name, "secondary %s reports: %s", s.Name, *s.LastError)
	case s.State == "stalled":
		c.add(warning.SecondaryStalled, s.Name, "secondary %s is behind and makes no progress", s.Name)
	case behind(&s.Lag) && s.Seed == nil:
		c.add(warning.SecondaryLag, s.Name, "secondary %s is %.0f seconds behind", s.Name, *s.Lag.Seconds)
	}
	if s.Replaced != nil {
		c.add(warning.SecondaryReplaced, s.Name, "secondary %s began with nothing, in place of a node with %s", s.Name,
			tidText(s.Replaced.Durable))
	}
}
