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
