package history

import (
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// read judges what a client saw.
func (k *checker) read(op *Op) {
	k.verdict.Reads++
	primary := k.reigned(op)
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
			k.violated(Committed, op, "node %s showed oid %v as %q of transaction %v, which is not there", op.Node, oid,
				seen.Value, seen.Serial)
			lost = true
		}
	}
	if op.Kind == Snapshot {
		k.snapshot(op, !lost && (primary && !k.MayLose || !k.cutBefore(op.Tid)))
	}
}

// snapshot judges a state as of a transaction. One that may have what was cut off cannot be compared with the files.
func (k *checker) snapshot(op *Op, whole bool) {
	if k.shown == nil {
		k.shown = map[connection]zodb.Tid{}
	}
	who := connection{op.Client, op.Conn}
	if op.Tid < k.shown[who] {
		k.violated(BackInTime, op, "node %s showed the state of %v, after that of %v on the same connection", op.Node,
			op.Tid, k.shown[who])
	}
	k.shown[who] = max(k.shown[who], op.Tid)
	if !whole {
		return
	}
	for oid, seen := range op.Read {
		if want := k.Truth.current(oid, op.Tid); seen.Serial != want {
			k.violated(PointInTime, op, "as of %v node %s showed oid %v of transaction %v, and %v was current", op.Tid,
				op.Node, oid, seen.Serial, want)
		}
	}
}

// cutBefore reports whether the state as of a transaction may have been one that was cut off in part: of a former
// primary that went on for a while, beside its successor.
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
