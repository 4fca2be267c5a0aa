package zeo

import (
	"fmt"
	"math/big"

	"github.com/zrsd/zrsd/internal/pickle"
)

// The extension of a transaction is a pickle that Python opens without asking: a secondary of zc.zrs, and every process
// that lists the transactions of the file. So nothing that a client sends becomes part of it but what is a value by
// itself. The reference server refuses classes in the same way.

// maxExtension bounds the pickle; a file has room for less.
const maxExtension = 1 << 20

// maxExtensionNesting bounds values in values.
const maxExtensionNesting = 90

// extensionArgument takes the extension, a dictionary in all clients that ZODB has, and returns it as a file has it.
func extensionArgument(a *arguments) ([]byte, error) {
	v := a.next("extension")
	if a.err != nil {
		return nil, nil //nolint:nilerr // the caller looks at a.err
	}
	raw, isRaw := v.(pickle.Bytes)
	if isRaw && len(raw) > 0 { // a pickle that is taken as it is
		var err error
		if v, err = pickle.Load(raw, pickle.Limits{Bytes: maxExtension, Nesting: maxExtensionNesting}); err != nil {
			return nil, violation("%s: the extension is bytes, and no pickle: %v", a.method, err)
		}
	}
	v = plainDict(v)
	if pickle.IsFalse(v) {
		return nil, nil
	}
	if err := new(valueCheck).check(v, 0); err != nil {
		return nil, violation(
			"%s: an extension with %v: the transaction is refused, because every Python that reads the file would "+
				"create it; use text, numbers, lists and dictionaries in extensions",
			a.method,
			err,
		)
	}
	if isRaw {
		return raw, nil
	}
	return pickle.Dump(v, pickle.Proto3, pickle.Limits{Bytes: maxExtension})
}

// plainDict returns the dictionary of a call of dict, as the reference server has it after decoding, and else v.
func plainDict(v pickle.Value) pickle.Value {
	o, ok := v.(*pickle.Object)
	if !ok || o.Class != (pickle.Global{Module: "builtins", Name: "dict"}) {
		return v
	}
	if d, ok := pickle.Mapping(o); ok {
		return d
	}
	return v
}

// maxExtensionValues bounds the work for one: tuples that are mentioned more than once are looked at as often.
const maxExtensionValues = 1_000_000

// A valueCheck looks for what is more than a value.
type valueCheck struct {
	seen   map[any]bool // lists, dictionaries and objects
	looked int
}

func (c *valueCheck) check(v pickle.Value, depth int) error {
	if c.looked++; c.looked > maxExtensionValues {
		return fmt.Errorf("more than %d values", maxExtensionValues)
	}
	if depth > maxExtensionNesting {
		return fmt.Errorf("more than %d values in each other", maxExtensionNesting)
	}
	switch v := v.(type) {
	case nil, bool, int64, *big.Int, float64, string, pickle.Bytes, pickle.ByteString:
		return nil
	case pickle.Tuple:
		return c.all(v, depth)
	case *pickle.List:
		if c.met(v) {
			return nil
		}
		return c.all(v.Items, depth)
	case *pickle.Dict:
		if c.met(v) {
			return nil
		}
		return c.pairs(v.Items, depth)
	case *pickle.Object:
		if c.met(v) {
			return nil
		}
		return c.object(v, depth)
	case pickle.Global:
		return fmt.Errorf("the class %.100q", v.Module+"."+v.Name)
	}
	return fmt.Errorf("a %T", v)
}

// met notes a pointer.
func (c *valueCheck) met(pointer any) bool {
	if c.seen == nil {
		c.seen = make(map[any]bool)
	}
	met := c.seen[pointer]
	c.seen[pointer] = true
	return met
}

func (c *valueCheck) all(values []pickle.Value, depth int) error {
	for _, v := range values {
		if err := c.check(v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *valueCheck) pairs(pairs []pickle.Pair, depth int) error {
	for _, p := range pairs {
		if err := c.check(p.Key, depth+1); err != nil {
			return err
		}
		if !hashable(p.Key) {
			return fmt.Errorf("a %T as a key", p.Key)
		}
		if err := c.check(p.Value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// builtinValues are the classes of Python whose objects are nothing but their content.
var builtinValues = map[pickle.Global]bool{
	{Module: "builtins", Name: "set"}:       true,
	{Module: "builtins", Name: "frozenset"}: true,
	{Module: "builtins", Name: "bytearray"}: true,
	{Module: "builtins", Name: "complex"}:   true,
}

// object lets sets and the like pass.
func (c *valueCheck) object(o *pickle.Object, depth int) error {
	class, isClass := o.Class.(pickle.Global)
	args, isTuple := o.Args.(pickle.Tuple)
	switch {
	case !isClass:
		return fmt.Errorf("an object made by a %T", o.Class)
	case !builtinValues[class], !isTuple, o.Make != pickle.MakeReduce, o.HasState, len(o.Set) > 0, len(o.Appended) > 0:
		return fmt.Errorf("an object of the class %.100q", class.Module+"."+class.Name)
	}
	return c.all(args, depth)
}
