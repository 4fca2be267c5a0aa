package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/secondary"
)

// DefaultPackDays is how many days of history a pack by schedule leaves.
const DefaultPackDays = 1

// How often it is looked whether a pack is due, and for how long other nodes are waited for.
const (
	packLook = 5 * time.Second
	packAsk  = 10 * time.Second
)

// checkPacks reads the schedule of packs.
func (c *Config) checkPacks() (err error) {
	if c.PackSchedule == "" {
		return nil
	}
	if c.PackDays < 0 || c.PackDays > maxPackDays {
		return &ConfigError{fmt.Sprintf("--pack-days %d: give a number of days from 0 to %d", c.PackDays, maxPackDays)}
	}
	if c.onlyRead {
		return &ConfigError{"--pack-schedule: this process does not write the data file: have it packed by the one " +
			"that does"}
	}
	if c.packSchedule, err = packplan.Parse(c.PackSchedule); err != nil {
		return &ConfigError{"--pack-schedule: " + err.Error()}
	}
	return nil
}

// maxPackDays is further back than any ZODB.
const maxPackDays = 36500

// checkPacks refuses what would keep the primary from knowing whether this node packs.
func (c *SecondaryConfig) checkPacks() error {
	switch {
	case c.PackSchedule == "":
		return nil
	case c.ReplicateTo.IsZero():
		return &ConfigError{"--pack-schedule: the primary has to ask this node whether it packs: give it " +
			"--replicate-to, too, or leave the schedule out and use zrsd pack"}
	case c.Protocol == secondary.ProtocolZrs2:
		return &ConfigError{"--pack-schedule: a primary of zc.zrs gives no turns: leave it out and use zrsd pack"}
	}
	return nil
}

// A packer packs the storage of a node by schedule.
type packer struct {
	c      *Config
	status *nodeStatus
	plan   *packplan.Plan
	now    func() time.Time
}

// newPacker returns nil where there is no schedule.
func newPacker(c *Config, status *nodeStatus) *packer {
	if c.packSchedule == nil {
		return nil
	}
	now := time.Now()
	plan, err := packplan.Open(c.FS, c.Data, c.packSchedule, c.PackDays, now)
	if err != nil {
		c.Logger.Warn("packs by schedule: their record was begun anew, so that a time may be met twice or not at all; "+
			"see that the folder can be written", "error", err, "warning", warning.FilesWrong)
	}
	c.Logger.Info("packs are made by schedule", "schedule", c.packSchedule.String(), "days", c.PackDays,
		"time_zone", now.Format("MST -07:00"), "next", c.packSchedule.Next(now))
	return &packer{c, status, plan, time.Now}
}

// run packs when it is this node's turn, until ctx ends.
func (p *packer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !p.step(ctx) {
			pause.For(ctx, packLook)
		}
	}
}

// step does what is to be done now, and reports whether something was packed.
func (p *packer) step(ctx context.Context) bool {
	st := p.status.Status()
	switch {
	case st.Closed:
		return false
	case st.Role == roleSecondary:
		return p.follow(ctx, &st)
	}
	return p.lead(ctx)
}

// lead decides who is to pack.
func (p *packer) lead(ctx context.Context) bool {
	d, own := p.decide(ctx, p.now().Add(-packLook))
	switch {
	case d.LeftOut != "":
		p.plan.Tell(nil, "")
		p.giveUp(d.Time, d.LeftOut)
		return false
	case d.Turn == nil:
		p.plan.Tell(nil, d.Waits)
		return false
	}
	turn := &packplan.Turn{Node: d.Turn.ID, Time: d.Time.UTC(), Until: d.Time.AddDate(0, 0, -p.plan.Days).UTC()}
	p.plan.Tell(turn, "")
	return own && p.pack(ctx, turn, func() bool {
		again, own := p.decide(ctx, p.now())
		return own && again.Time.Equal(d.Time)
	})
}

// decide asks the other nodes, unless their answers are younger than a time, and says whether it is this node's turn.
func (p *packer) decide(ctx context.Context, since time.Time) (d packplan.Decision, own bool) {
	members := p.members(ctx, since)
	d = packplan.Decide(p.plan.Schedule, p.now(), members)
	return d, d.Turn == &members[0] && !d.Turn.Packing
}

// follow packs when the primary says that it is this node's turn.
func (p *packer) follow(ctx context.Context, st *admin.Status) bool {
	p.plan.Tell(nil, "")
	turn := turnOf(p.peers(ctx, p.now().Add(-packLook)), st.NodeID)
	state := p.plan.State(p.now())
	if turn == nil || state.Done != nil && !turn.Time.After(*state.Done) {
		if at := packplan.Missed(p.plan.Schedule, p.now(), state); !at.IsZero() {
			p.giveUp(at, "the primary gave this node no turn: it has no schedule, or was not reached")
		}
		return false
	}
	return p.pack(ctx, turn, func() bool {
		again := turnOf(p.peers(ctx, p.now()), st.NodeID)
		return again != nil && again.Time.Equal(turn.Time)
	})
}

// turnOf returns the turn that the primary of the highest epoch gives to a node; nil: none.
func turnOf(nodes []admin.ClusterNode, own *string) *packplan.Turn {
	var primary *admin.ClusterNode
	for i := range nodes {
		n := &nodes[i]
		if n.Role == rolePrimary && !n.Fenced && n.Error == nil && n.Epoch != nil &&
			(primary == nil || n.Epoch.Number > primary.Epoch.Number) {
			primary = n
		}
	}
	if primary == nil || own == nil || primary.Packs == nil || primary.Packs.Turn == nil ||
		primary.Packs.Turn.Node != *own {
		return nil
	}
	return primary.Packs.Turn
}

// pack says to others that this node is about to pack, and packs if it still is to. While another storage of this
// process is packed by schedule it does nothing: they share the processor, and mostly the disk. It is tried again.
func (p *packer) pack(ctx context.Context, turn *packplan.Turn, still func() bool) bool {
	if !p.c.onePack.TryLock() {
		return false
	}
	defer p.c.onePack.Unlock()
	p.plan.Claim(true)
	defer p.plan.Claim(false)
	if !still() {
		return false
	}
	_, err := p.c.pack(ctx, admin.PackRequest{Until: turn.Until}, "schedule", func(admin.PackProgress) {})
	var refusal *admin.Refusal
	if ctx.Err() != nil || errors.As(err, &refusal) &&
		(refusal.Reason == admin.Busy || refusal.Reason == admin.Unavailable) {
		return false // it is tried again
	}
	p.written(p.plan.Finish(turn.Time, p.now(), err))
	return true
}

func (p *packer) giveUp(at time.Time, why string) {
	p.written(p.plan.GiveUp(at, why))
}

func (p *packer) written(err error) {
	if err != nil {
		p.c.Logger.Error("cannot write what was packed by schedule: after a restart it may be packed once more",
			"error", err, "warning", warning.FilesWrong)
	}
}

// members are what is known of all nodes, this one first.
func (p *packer) members(ctx context.Context, since time.Time) []packplan.Member {
	peers := p.peers(ctx, since)
	st := p.status.Status()
	own := packplan.Member{Name: st.Name, State: st.Packs, Packing: st.Storage.Packing && !p.plan.Claimed(),
		Out: cmp.Or(ownHindrance(&st), secondaryHindrance(&st, peers))}
	if st.NodeID != nil {
		own.ID = *st.NodeID
	}
	list := []packplan.Member{own}
	for i := range peers {
		n := &peers[i]
		list = append(list, packplan.Member{ID: n.NodeID, Name: cmp.Or(n.Name, n.Address), State: n.Packs,
			Packing: n.Packing, Out: peerHindrance(n)})
	}
	return list
}

func (p *packer) peers(ctx context.Context, since time.Time) []admin.ClusterNode {
	ctx, cancel := context.WithTimeout(ctx, packAsk)
	defer cancel()
	return p.status.peersSince(ctx, since)
}

// ownHindrance says why this primary is not in a state to pack.
func ownHindrance(st *admin.Status) string {
	switch {
	case st.Closed:
		return "the storage is not open"
	case st.Fault != nil:
		return "the storage takes no transactions: " + *st.Fault
	case st.Fenced, st.Conflict != nil:
		return "it is not clear which node is primary"
	case st.Frozen:
		return "the primary is frozen"
	case st.Coordinator != nil && st.Coordinator.LeaseRemaining <= 0:
		return "the primary has no lease"
	}
	return ""
}

// secondaryHindrance says which secondary has to catch up first.
func secondaryHindrance(st *admin.Status, peers []admin.ClusterNode) string {
	for i := range st.Secondaries {
		if s := &st.Secondaries[i]; s.State != "live" {
			return fmt.Sprintf("secondary %s is not live but %s", s.Name, s.State)
		} else if s.Lag.Seconds != nil && *s.Lag.Seconds > warning.SecondsBehind {
			return fmt.Sprintf("secondary %s is %.0f seconds behind", s.Name, *s.Lag.Seconds)
		}
	}
	for i := range st.Disconnected {
		s := &st.Disconnected[i]
		if !slices.ContainsFunc(peers, func(n admin.ClusterNode) bool { return n.Name == s.Name && n.Error == nil }) {
			return fmt.Sprintf("secondary %s is not connected", s.Name)
		}
	}
	return ""
}

// peerHindrance says why a pack would make matters worse, as far as another node is concerned.
func peerHindrance(n *admin.ClusterNode) string {
	name := cmp.Or(n.Name, n.Address)
	switch {
	case n.Error != nil:
		return fmt.Sprintf("%s does not answer: %s", name, *n.Error)
	case n.Role == rolePrimary:
		return name + " is primary, too"
	case n.State != "live" && !n.Spare:
		return fmt.Sprintf("%s is not live but %s", name, n.State)
	case n.Lag.Seconds != nil && *n.Lag.Seconds > warning.SecondsBehind:
		return fmt.Sprintf("%s is %.0f seconds behind", name, *n.Lag.Seconds)
	}
	for i := range n.Followers {
		if f := &n.Followers[i]; f.State == "seeding" || f.State == "catching-up" {
			return fmt.Sprintf("%s is %s from %s", f.Name, f.State, name)
		}
	}
	return ""
}

// showPacks adds what is known of packs by schedule.
func (f *nodeStatus) showPacks(st *admin.Status) {
	if f.packs == nil {
		return
	}
	st.Storage.Packing = st.Storage.Packing || f.packs.Claimed()
	st.Packs = f.packs.State(st.Now)
}
