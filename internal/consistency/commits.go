package consistency

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// acknowledged judges a commit that a client was told of.
func (k *checker) acknowledged(op *Op) {
	k.verdict.Acknowledged++
	txn, there := k.Truth.txns[op.Tid]
	other := differences(op.Wrote, txn.Writes)
	if there && other == "" {
		k.claim(Acknowledged, op, op.Tid)
		return
	}
	aside := slices.ContainsFunc(k.Aside, func(t *Truth) bool {
		txn, there := t.txns[op.Tid]
		return there && differences(op.Wrote, txn.Writes) == ""
	})
	switch {
	case aside && k.MayLose:
		k.verdict.Lost = append(k.verdict.Lost, op.Tid)
	case aside:
		k.violated(
			Acknowledged,
			op,
			"transaction %v of %s was acknowledged after waiting for secondaries, and was cut off",
			op.Tid,
			op.server(),
		)
	case there:
		k.violated(Acknowledged, op, "transaction %v of %s is there with other writes: %s", op.Tid, op.server(), other)
	default:
		k.violated(Acknowledged, op, "transaction %v of %s, which wrote %v, is in no file and was not set aside",
			op.Tid, op.server(), op.Wrote)
	}
}

// differences returns how a transaction in the files is not what was written, or nothing.
func differences(want, got map[zodb.Oid]string) string {
	for oid, value := range want {
		switch there, ok := got[oid]; {
		case !ok:
			return fmt.Sprintf("it lacks oid %v", oid)
		case value != "" && there != value:
			return fmt.Sprintf("oid %v has the value %q, written was %q", oid, there, value)
		}
	}
	for oid := range got {
		if _, ok := want[oid]; !ok {
			return fmt.Sprintf("it has oid %v, which was not written", oid)
		}
	}
	return ""
}

// writers returns the transactions of a Truth that wrote any of the values, in order.
func (t *Truth) writers(wrote map[zodb.Oid]string) (tids []zodb.Tid) {
	for oid, value := range wrote {
		if value != "" {
			tids = append(tids, t.written[revision{oid, value}]...)
		}
	}
	slices.Sort(tids)
	return slices.Compact(tids)
}

// unknown judges a commit whose outcome the client never learned. Its values tell whether it is in the files.
func (k *checker) unknown(op *Op) {
	named := slices.ContainsFunc(slices.Collect(maps.Values(op.Wrote)), func(value string) bool { return value != "" })
	switch tids := k.Truth.writers(op.Wrote); {
	case !named:
		k.violated(Atomic, op, "it is not known whether a commit without values is in the files")
	case len(tids) == 0:
		k.verdict.Missing++
	case len(tids) > 1:
		k.violated(Atomic, op, "one commit has become the transactions %v", tids)
	default:
		if other := differences(op.Wrote, k.Truth.txns[tids[0]].Writes); other != "" {
			k.violated(Atomic, op, "transaction %v is there in part: %s", tids[0], other)
			return
		}
		k.verdict.Found++
		k.claim(Atomic, op, tids[0])
	}
}

func (k *checker) refused(op *Op) {
	for _, t := range append([]*Truth{k.Truth}, k.Aside...) {
		if tids := t.writers(op.Wrote); len(tids) > 0 {
			k.violated(NotRefused, op, "%s refused to write %v, and it is there as %v", op.server(), op.Wrote, tids)
		}
	}
}

// claim notes who has written a transaction, and judges what it has replaced.
func (k *checker) claim(rule Rule, op *Op, tid zodb.Tid) {
	if k.claims[tid] != nil {
		k.violated(rule, op, "transaction %v is that of client %s, too", tid, k.claims[tid].Client)
	}
	k.claims[tid] = op
	if op.Key != "" {
		k.verdict.Keys[op.Key] = true
	}
	for oid := range op.Wrote {
		replaced := k.Truth.current(oid, tid-1)
		if op.Read[oid].Serial != replaced && !slices.Contains(op.Resolved, oid) {
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

// Count returns the value that a counter has when n were added to it: unique because of what is added to it.
func Count(n int64, unique string) string { return strconv.FormatInt(n, 10) + " " + unique }

// Counted returns the number in a value of a counter, 0 for none.
func Counted(value string) int64 {
	number, _, _ := strings.Cut(value, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// counters adds up what was added to counters, and notes which transactions have added a key.
func (k *checker) counters() {
	sums := map[zodb.Oid]int64{}
	for _, tid := range k.Truth.Tids() {
		op := k.claims[tid]
		if op == nil {
			continue
		}
		for oid, added := range op.Adds {
			sums[oid] += added
			if got := k.Truth.txns[tid].Writes[oid]; Counted(got) != sums[oid] {
				k.violated(Counting, op, "counter %v is %q after transaction %v, and %d were added", oid, got, tid,
					sums[oid])
			}
		}
		if op.Key != "" {
			k.adding = append(k.adding, tid)
		}
	}
}
