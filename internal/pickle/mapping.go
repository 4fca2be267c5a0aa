package pickle

// dictLike are the classes that are made of the items of a dictionary, as their first argument.
var dictLike = map[Global]bool{
	{"builtins", "dict"}:           true,
	{"collections", "OrderedDict"}: true,
	{"collections", "Counter"}:     true,
}

// Mapping returns what Python's dict(v) would have, for a dictionary and for the objects that pickles make of
// subclasses of it: dict(...), OrderedDict, defaultdict, Counter, and any class that is filled item by item.
func Mapping(v Value) (*Dict, bool) {
	switch v := v.(type) {
	case *Dict:
		return v, true
	case *Object:
		return v.mapping()
	}
	return nil, false
}

func (o *Object) mapping() (*Dict, bool) {
	class, _ := o.Class.(Global)
	args, _ := o.Args.(Tuple)
	d := &Dict{}
	switch {
	case class == Global{"copyreg", "_reconstructor"} && len(args) == 3: // protocols 0 and 1: class, base, content
		if args[1] != (Global{"builtins", "dict"}) {
			return nil, false
		}
		content, ok := args[2].(*Dict)
		if !ok {
			return nil, false
		}
		d.Items = append(d.Items, content.Items...)
	case dictLike[class] && len(args) == 1:
		content, ok := pairsOf(args[0])
		if !ok {
			return nil, false
		}
		d.Items = append(d.Items, content...)
	case dictLike[class] && len(args) == 0:
	case class == Global{"collections", "defaultdict"}: // its argument makes values that are missing
	case len(o.Set) == 0:
		return nil, false
	}
	d.Items = append(d.Items, o.Set...)
	return d, true
}

// pairsOf reads what dict() takes: a dictionary, or a list or tuple of pairs.
func pairsOf(v Value) ([]Pair, bool) {
	if d, ok := v.(*Dict); ok {
		return d.Items, true
	}
	items, ok := sequence(v)
	if !ok {
		return nil, false
	}
	pairs := make([]Pair, len(items))
	for i, item := range items {
		pair, ok := sequence(item)
		if !ok || len(pair) != 2 {
			return nil, false
		}
		pairs[i] = Pair{pair[0], pair[1]}
	}
	return pairs, true
}

func sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case Tuple:
		return v, true
	case *List:
		return v.Items, true
	}
	return nil, false
}
