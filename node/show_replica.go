package node

import "github.com/zrsd/zrsd/admin"

// show fills in what a replica says.
func (r *replica) show(st *admin.Status) {
	st.Role = r.roleName()
	if r.isLeading() {
		showStorage(&st.Storage, r.st)
		st.NotReady = r.hindrance()
		st.Ready = st.NotReady == nil
	} else {
		showSecondary(st, r.st, r.sec.Status(), r.cfg.ReadyLag)
	}
	if r.fed != nil {
		fed := r.fed.Status()
		showFed(st, fed)
		if r.isLeading() && st.NotReady == nil {
			st.NotReady = hindrance(r.st, &fed)
			st.Ready = st.NotReady == nil
		}
	}
	if id := r.keep.State(); id != nil {
		st.Storage.ID = known(id.StorageID)
	}
}

// hindrance returns why a node that is to be primary is not.
func (r *replica) hindrance() *string {
	id := r.keep.State()
	switch {
	case r.fenced():
		return admin.Known("another node has become primary: this one takes no transactions; demote it to follow that")
	case id != nil && id.Frozen:
		return admin.Known("frozen: it takes no transactions until it is thawed")
	}
	return nil
}
