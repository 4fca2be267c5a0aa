package history

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// acknowledged judges a commit that a client was told of.
func (k *checker) acknowledged(op *Op) {
	k.verdict.Acknowledged++
	if txn, there := k.Truth.txns[op.Tid]; there && maps.Equal(txn.Writes, op.Wrote) {
		k.claim(Acknowledged, op, op.Tid)
		return
	}
	aside := slices.ContainsFunc(k.Aside, func(t *Truth) bool { return maps.Equal(t.txns[op.Tid].Writes, op.Wrote) })
	switch {
	case aside && k.MayLose:
		k.verdict.Lost = append(k.verdict.Lost, op.Tid)
	case aside:
		k.violated(Acknowledged, op, "transaction %v of node %s was acknowledged behind secondaries, and was cut off",
			op.Tid, op.Node)
	default:
		k.violated(Acknowledged, op, "transaction %v of node %s, which wrote %v, is in no file and was not set aside",
			op.Tid, op.Node, op.Wrote)
	}
}

// writers returns the transactions of a Truth that wrote any of the values.
func (t *Truth) writers(wrote map[zodb.Oid]string) (tids []zodb.Tid) {
	for oid, value := range wrote {
		tids = append(tids, t.written[revision{oid, value}]...)
	}
	slices.Sort(tids)
	return slices.Compact(tids)
}

// unknown judges a commit whose outcome the client never learned.
func (k *checker) unknown(op *Op) {
	switch tids := k.Truth.writers(op.Wrote); {
	case len(tids) == 0:
		k.verdict.Missing++
	case len(tids) > 1:
		k.violated(Atomic, op, "one commit has become the transactions %v", tids)
	case !maps.Equal(k.Truth.txns[tids[0]].Writes, op.Wrote):
		k.violated(Atomic, op, "transaction %v has %v, and %v was to be written", tids[0],
			k.Truth.txns[tids[0]].Writes, op.Wrote)
	default:
		k.verdict.Found++
		k.claim(Atomic, op, tids[0])
	}
}

func (k *checker) refused(op *Op) {
	for _, t := range append([]*Truth{k.Truth}, k.Aside...) {
		if tids := t.writers(op.Wrote); len(tids) > 0 {
			k.violated(NotRefused, op, "node %s refused to write %v, and it is there as %v", op.Node, op.Wrote, tids)
		}
	}
}

// claim notes who has written a transaction, and judges what it has replaced.
func (k *checker) claim(rule Rule, op *Op, tid zodb.Tid) {
	if k.claims[tid] != nil {
		k.violated(rule, op, "transaction %v is that of client %s, too", tid, k.claims[tid].Client)
	}
	k.claims[tid] = op
	for oid := range op.Wrote {
		if replaced := k.Truth.current(oid, tid-1); op.Read[oid].Serial != replaced {
			k.violated(LostUpdate, op, "transaction %v replaced revision %v of oid %v, its client had read %v", tid,
				replaced, oid, op.Read[oid].Serial)
		}
	}
}

// unclaimed looks for transactions that nobody has written.
func (k *checker) unclaimed() {
	for _, tid := range k.Truth.Tids() {
		if k.claims[tid] == nil {
			k.violated(Invented, nil, "no client has written transaction %v: %v", tid, k.Truth.txns[tid].Writes)
		}
	}
}

// Count returns the value that the counter has when it was written n times: unique because of what is added to it.
func Count(n int, unique string) string { return strconv.Itoa(n) + " " + unique }

// Counted returns the number in a value of the counter, 0 for none.
func Counted(value string) int {
	number, _, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}

// counter looks whether each write of the counter was the next number.
func (k *checker) counter() {
	for i, tid := range k.Truth.revisions[k.Counter] {
		if got := Counted(k.Truth.txns[tid].Writes[k.Counter]); got != i+1 {
			k.violated(Counting, k.claims[tid], "the counter is %d after transaction %v, and was written %d times", got,
				tid, i+1)
		}
	}
}
