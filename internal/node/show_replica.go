package node

import (
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// show fills in what a replica says.
func (r *replica) show(st *admin.Status) {
	st.Role = r.roleName()
	if r.isLeading() {
		showStorage(&st.Storage, r.st, time.Now())
		showLeft(st, r.st)
		st.NotReady = r.notReadyReason()
		st.Ready = st.NotReady == nil
	} else {
		showSecondary(st, r.st, r.sec.Status(), r.cfg.ReadyLag)
	}
	if r.replicationServer != nil {
		fed := r.replicationServer.Status()
		showFed(st, fed)
		if r.isLeading() && st.NotReady == nil {
			st.NotReady = notReadyReason(r.st, &fed)
			st.Ready = st.NotReady == nil
		}
	}
	showChain(&st.Storage, r.chain)
	r.files.show(st)
	r.showPlace(st)
	r.showConflict(st)
}

// showPlace fills in what the node is among others.
func (r *replica) showPlace(st *admin.Status) {
	st.ReplicationAddr, st.Sync, st.Coordinator = known(r.replicationAddr), r.sync.status(), r.failover.show()
	id := r.keep.State()
	if id == nil {
		return
	}
	now := id.Epoch()
	st.Storage.ID, st.NodeID = known(id.StorageID), known(id.Node)
	st.Epoch = &admin.Epoch{Number: now.Number, Begin: known(now.Begin), By: known(now.By), At: known(now.At)}
	if id.MaxEpochSeen > now.Number {
		st.MaxEpochSeen = known(id.MaxEpochSeen)
	}
	for _, a := range id.SetAside {
		st.SetAside = append(st.SetAside, admin.SetAside(a))
	}
	st.Fenced = r.isLeading() && r.fenced()
	st.Frozen, st.Copied = id.Frozen, id.Copied
}

// notReadyReason returns why a node that is to be primary is not.
func (r *replica) notReadyReason() *string {
	id := r.keep.State()
	switch {
	case r.fenced():
		return admin.Known("another node is now primary: this node takes no transactions; demote it to make it " +
			"follow that node")
	case r.faultReason() != "":
		return admin.Known("it takes no transactions: " + r.faultReason())
	case r.failover != nil && !r.failover.clear():
		return admin.Known(
			"commits are held: this primary has no lease; see the coordinator's last error",
		)
	case id != nil && id.Frozen:
		return admin.Known("frozen: it takes no transactions until it is thawed")
	}
	return nil
}
