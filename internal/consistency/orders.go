package consistency

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zrsd/zrsd/zodb"
)

// orderTimeout is how long an order is looked for, for each object. Histories of drills take much less than a second.
const orderTimeout = 2 * time.Minute

// A step is an operation on one object as porcupine sees it: a read of a value, or a compare and swap.
type step struct {
	swaps    bool
	old, new string // old is what was read
	op       *Op
}

// register is the model of an object: its state is its value.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		s := input.(step)
		switch {
		case state.(string) != s.old:
			return false, state
		case s.swaps:
			return true, s.new
		}
		return true, state
	},
	DescribeOperation: func(input, _ any) string { return input.(step).String() },
}

func (s step) String() string {
	if s.swaps {
		return fmt.Sprintf("client %s, node %s: %q → %q", s.op.Client, s.op.Node, s.old, s.new)
	}
	return fmt.Sprintf("client %s, node %s: read %q", s.op.Client, s.op.Node, s.old)
}

// orders looks for an order of all writes and primary reads of each object. What is not in the files any more, where
// that is allowed, has no place in it.
func (k *checker) orders() {
	objects := map[zodb.Oid][]porcupine.Operation{}
	for i := range k.Ops {
		k.steps(&k.Ops[i], objects)
	}
	for _, oid := range slices.Sorted(maps.Keys(objects)) {
		result, info := porcupine.CheckOperationsVerbose(register, objects[oid], orderTimeout)
		switch result {
		case porcupine.Illegal:
			s := misplaced(objects[oid], info.PartialLinearizationsOperations())
			k.violated(Linearisable, s.op, "oid %v: no order of its %d writes and reads agrees with the clock; "+
				"the first that has no place in the longest one is: %v", oid, len(objects[oid]), s)
		case porcupine.Unknown:
			k.violated(Linearisable, nil, "oid %v: no order of its %d writes and reads was found in %v", oid,
				len(objects[oid]), orderTimeout)
		case porcupine.Ok:
		}
	}
}

// steps adds what an Op did to each object.
func (k *checker) steps(op *Op, objects map[zodb.Oid][]porcupine.Operation) {
	add := func(oid zodb.Oid, s step, end int64) {
		objects[oid] = append(objects[oid], porcupine.Operation{Input: s, Call: op.Begin, Return: end})
	}
	switch op.Kind {
	case Commit, Unknown:
		end := op.End
		if op.Kind == Unknown {
			end = math.MaxInt64
		}
		if len(k.Truth.writers(op.Wrote)) == 0 {
			return // judged before
		}
		for oid, value := range op.Wrote {
			add(oid, step{true, op.Read[oid].Value, value, op}, end)
		}
	case Read, Snapshot:
		for oid, seen := range op.Read {
			if k.wasPrimary(op) && (seen.Serial == 0 || k.Truth.has(oid, seen)) {
				add(oid, step{false, seen.Value, "", op}, op.End)
			}
		}
	case Refused:
	}
}

// misplaced returns the step that ended first of those that are not in the longest order.
func misplaced(all []porcupine.Operation, orders [][][]porcupine.Operation) (first step) {
	placed := map[*Op]bool{}
	longest := []porcupine.Operation{}
	for _, partition := range orders {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	for _, o := range longest {
		placed[o.Input.(step).op] = true
	}
	end := int64(math.MaxInt64)
	for _, o := range all {
		if s := o.Input.(step); !placed[s.op] && (first.op == nil || o.Return < end) {
			first, end = s, o.Return
		}
	}
	return first
}
