package conflict

import (
	"math"
	"math/big"

	"github.com/zrsd/zrsd/internal/pickle"
)

// A kind is one of the classes of the package BTrees.
type kind struct {
	key, value element // value is nil for sets
	tree       bool    // its states have those of buckets inside
}

// An element is what a family allows as keys or as values. It reports whether one is allowed.
type element func(v pickle.Value) bool

// elements are the letters of which the names of families are made.
var elements = map[byte]element{
	'O': func(pickle.Value) bool { return true },
	'I': wholeBetween(big.NewInt(math.MinInt32), big.NewInt(math.MaxInt32)),
	'U': wholeBetween(new(big.Int), big.NewInt(math.MaxUint32)),
	'L': wholeBetween(big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)),
	'Q': wholeBetween(new(big.Int), new(big.Int).SetUint64(math.MaxUint64)),
	'F': func(v pickle.Value) bool { // kept in 32 bits
		f, ok := v.(float64)
		return ok && float64(float32(f)) == f
	},
}

func wholeBetween(low, high *big.Int) element {
	return func(v pickle.Value) bool {
		n := integer(v)
		return n != nil && n.Cmp(low) >= 0 && n.Cmp(high) <= 0
	}
}

func bytesOf(length int) element {
	return func(v pickle.Value) bool {
		b, ok := v.(pickle.Bytes)
		return ok && len(b) == length
	}
}

// families are all that there are; that of file positions, fs, is added to them.
var families = []string{
	"OO", "OI", "OU", "OL", "OQ",
	"IO", "II", "IF", "IU", "UO", "UU", "UF", "UI",
	"LO", "LL", "LF", "LQ", "QO", "QQ", "QF", "QL",
}

var kinds = allKinds()

func allKinds() map[pickle.Global]*kind {
	all := make(map[pickle.Global]*kind)
	add := func(family string, key, value element) {
		for suffix, k := range map[string]*kind{
			"BTree": {key, value, true}, "TreeSet": {key, nil, true},
			"Bucket": {key, value, false}, "Set": {key, nil, false},
		} {
			all[pickle.Global{Module: "BTrees." + family + "BTree", Name: family + suffix}] = k
		}
	}
	for _, f := range families {
		add(f, elements[f[0]], elements[f[1]])
	}
	add("fs", bytesOf(2), bytesOf(6))
	return all
}
