package conflict

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"

	"github.com/zrsd/zrsd/internal/pickle"
)

// maxSteps bounds the comparisons of a merge, which happens under the commit lock. A tuple that mentions another one
// twice, and that one a third, and so on, is small as a record and takes for ever to compare.
const maxSteps = 10_000_000

// An ordering compares what is in the records of one merge.
type ordering struct{ steps int }

// compare orders two keys, or two values, of a bucket of objects: None comes first, and all else as Python says.
func (o *ordering) compare(a, b pickle.Value) (int, error) {
	switch {
	case a == nil && b == nil:
		return 0, nil
	case a == nil:
		return -1, nil
	case b == nil:
		return 1, nil
	}
	return o.order(a, b)
}

// order is Python's order of two values of the same type, of those types that have one of their own.
func (o *ordering) order(a, b pickle.Value) (int, error) {
	if o.steps++; o.steps > maxSteps {
		return 0, unresolved("comparing takes more than %d steps", maxSteps)
	}
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok { // most keys
			return cmp.Compare(x, y), nil
		}
	case string: // UTF-8, which is in the order of the characters
		if y, ok := b.(string); ok {
			return cmp.Compare(x, y), nil
		}
	case pickle.Bytes:
		if y, ok := b.(pickle.Bytes); ok {
			return bytes.Compare(x, y), nil
		}
	case float64:
		if y, ok := b.(float64); ok && x == x && y == y { // neither is NaN
			return cmp.Compare(x, y), nil
		}
	case pickle.Tuple:
		if y, ok := b.(pickle.Tuple); ok {
			return o.orderItems(x, y)
		}
	case *pickle.List:
		if y, ok := b.(*pickle.List); ok {
			return o.orderItems(x.Items, y.Items)
		}
	case pickle.Persistent:
		if y, ok := b.(pickle.Persistent); ok && sameObject(x, y) {
			return 0, nil
		}
	}
	if x, y := whole(a), whole(b); x != nil && y != nil {
		return x.Cmp(y), nil
	}
	return 0, unresolved("only their classes can compare a %T and a %T", a, b)
}

// whole returns an integer; booleans are 0 and 1.
func whole(v pickle.Value) *big.Int {
	if b, ok := v.(bool); ok {
		if b {
			return big.NewInt(1)
		}
		return new(big.Int)
	}
	return integer(v)
}

// orderItems orders sequences by the first items that differ.
func (o *ordering) orderItems(a, b []pickle.Value) (int, error) {
	for i := range min(len(a), len(b)) {
		if a[i] == nil && b[i] == nil { // here None has no order, but it equals itself
			continue
		}
		if c, err := o.order(a[i], b[i]); c != 0 || err != nil {
			return c, err
		}
	}
	return cmp.Compare(len(a), len(b)), nil
}

// sameObject reports whether two references, neither of which is weak, lead to the same object of the same database.
// The class that may be in a reference does not count.
func sameObject(a, b pickle.Persistent) bool {
	x, y := target(a.ID), target(b.ID)
	return x != "" && x == y
}

// target returns the oid of a reference within its own database, "" for every other one.
func target(id pickle.Value) pickle.Value {
	if t, ok := id.(pickle.Tuple); ok && len(t) == 2 {
		id = t[0]
	}
	if b, ok := id.(pickle.Bytes); ok {
		return string(b)
	}
	return ""
}

// shown is a key in an error, which must not be larger than what it is about.
func shown(v pickle.Value) string {
	switch v := v.(type) {
	case int64, float64, bool:
		return fmt.Sprint(v)
	case string:
		return fmt.Sprintf("%.40q", v)
	case pickle.Bytes:
		return fmt.Sprintf("%.40q", []byte(v))
	}
	return fmt.Sprintf("that is a %T", v)
}
