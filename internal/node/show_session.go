package node

import (
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// show fills in what a replicated storage says.
func (s *session) show(st *admin.Status) {
	st.Role = string(s.node.Role())
	if s.node.IsPrimary() {
		showStorage(&st.Storage, s.st, time.Now())
		showLeft(st, s.st)
		st.NotReady = s.notReadyReason()
		st.Ready = st.NotReady == nil
	} else {
		showSecondary(st, s.st, s.sec.Status(), s.cfg.ReadyLag)
	}
	if s.replicationServer != nil {
		fed := s.replicationServer.Status()
		showFed(st, fed)
		if s.node.IsPrimary() && st.NotReady == nil {
			st.NotReady = notReadyReason(s.st, &fed)
			st.Ready = st.NotReady == nil
		}
	}
	showChain(&st.Storage, s.chain)
	s.files.show(st)
	s.showMembership(st)
	s.showConflict(st)
}

// showMembership fills in what the node is among others.
func (s *session) showMembership(st *admin.Status) {
	st.ReplicationAddr, st.Sync = admin.NonZero(s.replicationAddr), s.node.Sync()
	if st.Coordinator = s.node.Coordinator(); st.Coordinator != nil {
		st.Coordinator.Address = s.c.Coordinator.Address
	}
	id := s.keep.State()
	if id == nil {
		return
	}
	now := id.Epoch()
	st.Storage.ID, st.NodeID = admin.NonZero(id.StorageID), admin.NonZero(id.Node)
	st.Epoch = &admin.Epoch{
		Number: now.Number, Begin: admin.NonZero(now.Begin), By: admin.NonZero(now.By), At: admin.NonZero(now.At),
	}
	if id.MaxEpochSeen > now.Number {
		st.MaxEpochSeen = admin.NonZero(id.MaxEpochSeen)
	}
	for _, a := range id.SetAside {
		st.SetAside = append(st.SetAside, admin.SetAside(a))
	}
	st.Fenced = s.node.IsPrimary() && s.node.Fenced()
	st.Frozen, st.Copied = id.Frozen, id.Copied
}

// notReadyReason returns why a node that is to be primary is not.
func (s *session) notReadyReason() *string {
	id := s.keep.State()
	switch {
	case s.node.Fenced():
		return admin.Known("another node is now primary: this node takes no transactions; demote it to make it " +
			"follow that node")
	case s.node.FaultReason() != "":
		return admin.Known("it takes no transactions: " + s.node.FaultReason())
	case !s.node.HasLease():
		return admin.Known(
			"commits are held: this primary has no lease; see the coordinator's last error",
		)
	case id != nil && id.Frozen:
		return admin.Known("frozen: it takes no transactions until it is thawed")
	}
	return nil
}

// showConflict fills in what has to be settled.
func (s *session) showConflict(st *admin.Status) {
	c := s.node.Conflict()
	if c == nil {
		return
	}
	st.Conflict = &admin.Conflict{Kind: c.Kind, Text: c.Text}
	if s.node.AsksIdentity() {
		st.Storage.ID = new(string)
	}
	if !c.Harmless {
		st.NotReady, st.Ready = admin.Known(c.Kind+" conflict: "+c.Text), false
	}
}
