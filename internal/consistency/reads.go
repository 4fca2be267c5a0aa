package consistency

import (
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// read judges what a client saw.
func (k *checker) read(op *Op) {
	k.verdict.Reads++
	primary := k.wasPrimary(op)
	if primary {
		k.verdict.PrimaryReads++
	}
	lost := false
	for oid, seen := range op.Read {
		switch {
		case seen.Serial == 0 || k.Truth.has(oid, seen):
		case (k.MayLose || !primary) && k.setAside(oid, seen):
			k.verdict.CutReads++
			lost = true
		default:
			k.violated(Committed, op, "%s showed oid %v as %q of transaction %v, which is not there", op.server(),
				oid, seen.Value, seen.Serial)
			lost = true
		}
	}
	if op.Kind == Snapshot {
		k.snapshot(op, !lost && (primary && !k.MayLose || !k.cutBefore(op.Tid)))
	}
}

// cutBefore reports whether the state as of a transaction may have been one that was cut off in part: of a former
// primary that continued for a while, beside its successor.
func (k *checker) cutBefore(tid zodb.Tid) bool {
	if k.Cut != 0 && k.Cut <= tid {
		return true
	}
	for _, t := range k.Aside {
		for cut := range t.txns {
			if cut <= tid {
				return true
			}
		}
	}
	return false
}

func (k *checker) setAside(oid zodb.Oid, seen Seen) bool {
	return slices.ContainsFunc(k.Aside, func(t *Truth) bool { return t.has(oid, seen) })
}

// raise notes that a client knows of a transaction, from then on, on a connection.
func (k *checker) raise(op *Op, tid zodb.Tid) {
	who := connection{op.Client, op.Conn}
	k.floor[who] = max(k.floor[who], tid)
}

// snapshot judges a state of one time. One that may have what was cut off cannot be compared with the files.
func (k *checker) snapshot(op *Op, whole bool) {
	floor := k.floor[connection{op.Client, op.Conn}]
	if op.Tid != 0 && op.Tid < floor {
		k.violated(BackInTime, op, "%s showed the state of %v, after that of %v on the same connection", op.server(),
			op.Tid, floor)
	}
	k.raise(op, op.Tid)
	if !whole {
		return
	}
	first, replaced := k.times(op)
	switch {
	case op.Tid != 0:
		k.asOf(op)
	case first >= replaced:
		k.violated(PointInTime, op, "%s showed a revision of %v together with one that was replaced at %v", op.server(),
			first, replaced)
	}
	if replaced <= floor {
		k.violated(BackInTime, op, "%s showed a revision that was replaced at %v, after the state of %v on the same "+
			"connection", op.server(), replaced, floor)
	}
	k.raise(op, first)
	k.keys(op)
}

// asOf judges a state whose time the client knows.
func (k *checker) asOf(op *Op) {
	for oid, seen := range op.Read {
		if want := k.Truth.current(oid, op.Tid); seen.Serial != want {
			k.violated(PointInTime, op, "as of %v %s showed oid %v of transaction %v, and %v was current", op.Tid,
				op.server(), oid, seen.Serial, want)
		}
	}
}

// times returns of which times a snapshot can be: from first on, until a revision was replaced.
func (k *checker) times(op *Op) (first, replaced zodb.Tid) {
	replaced = zodb.MaxTid
	for oid, seen := range op.Read {
		first = max(first, seen.Serial)
		replaced = min(replaced, k.Truth.next(oid, seen.Serial))
	}
	return first, replaced
}

// keys judges the number of keys that a client has counted at a known time.
func (k *checker) keys(op *Op) {
	if op.Keys == nil || op.Tid == 0 {
		return
	}
	n, found := slices.BinarySearch(k.adding, op.Tid)
	if found {
		n++
	}
	if n != *op.Keys {
		k.violated(Keys, op, "there were %d at %v, the client has counted %d", n, op.Tid, *op.Keys)
	}
}
