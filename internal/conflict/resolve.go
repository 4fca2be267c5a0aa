package conflict

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zlibrecord"
)

// errUnresolved says that two changes cannot be merged here; the error around it says why.
var errUnresolved = errors.New("the changes cannot be merged")

func unresolved(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnresolved, fmt.Sprintf(format, args...))
}

// limits bound what a record may make us allocate: BTrees have small records.
var limits = pickle.Limits{Bytes: 16 << 20}

// Resolve merges two records of one object, committed and sent, which were both made from old. Every error means that
// it was not possible: errUnresolved where the changes exclude each other or need their classes, and those of package
// pickle. Records of zc.zlibstorage are merged as what they have inside. Resolve is safe for concurrent use.
func Resolve(old, committed, sent []byte) ([]byte, error) {
	packed := false
	for _, record := range []*[]byte{&old, &committed, &sent} {
		packed = packed || zlibrecord.Is(*record)
		var err error
		if *record, err = zlibrecord.Unpack(*record, int64(limits.Bytes)); err != nil {
			return nil, err
		}
	}
	merged, err := resolve(old, committed, sent)
	if err == nil && packed {
		merged = zlibrecord.Pack(merged)
	}
	return merged, err
}

func resolve(old, committed, sent []byte) ([]byte, error) {
	class, sentState, err := pickle.LoadRecord(sent, limits)
	if err != nil {
		return nil, err
	}
	merge, err := ruleOf(class)
	if err != nil {
		return nil, err
	}
	// Only the class of what is sent counts, as in ZODB.
	_, oldState, err := pickle.LoadRecord(old, limits)
	if err != nil {
		return nil, err
	}
	_, committedState, err := pickle.LoadRecord(committed, limits)
	if err != nil {
		return nil, err
	}
	merged, err := merge(oldState, committedState, sentState)
	if err != nil {
		return nil, err
	}
	return pickle.DumpRecord(class, merged, limits)
}

// A rule merges states.
type rule func(old, committed, sent pickle.Value) (pickle.Value, error)

// ruleOf finds the rule of a record's class: a class, or a tuple of it, or of its module and name, and arguments.
func ruleOf(class pickle.Value) (rule, error) {
	if t, ok := class.(pickle.Tuple); ok {
		if len(t) != 2 || !noArguments(t[1]) {
			return nil, unresolved("the class needs arguments")
		}
		class = t[0]
		if names, ok := class.(pickle.Tuple); ok && len(names) == 2 {
			module, _ := names[0].(string)
			name, _ := names[1].(string)
			class = pickle.Global{Module: module, Name: name}
		}
	}
	g, _ := class.(pickle.Global)
	if g == (pickle.Global{Module: "BTrees.Length", Name: "Length"}) {
		return mergeCounters, nil
	}
	if k, ok := kinds[g]; ok {
		return k.merge, nil
	}
	return nil, unresolved("only their class could merge objects of %v", g)
}

func noArguments(v pickle.Value) bool {
	t, isTuple := v.(pickle.Tuple)
	return v == nil || isTuple && len(t) == 0
}

// mergeCounters adds what both transactions added.
func mergeCounters(old, committed, sent pickle.Value) (pickle.Value, error) {
	sum := new(big.Int)
	for _, term := range []struct {
		value pickle.Value
		add   func(x, y *big.Int) *big.Int
	}{{committed, sum.Add}, {sent, sum.Add}, {old, sum.Sub}} {
		n := integer(term.value)
		if n == nil {
			return nil, unresolved("a counter that is not a whole number")
		}
		term.add(sum, n)
	}
	if sum.IsInt64() {
		return sum.Int64(), nil
	}
	return sum, nil
}

// integer returns a whole number, nil for anything else, also for booleans.
func integer(v pickle.Value) *big.Int {
	switch v := v.(type) {
	case int64:
		return big.NewInt(v)
	case *big.Int:
		return v
	}
	return nil
}
