package pickle_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/pickle"
)

// What Python 2 and 3 write for subclasses of dict, in protocols 0 to 3.
func TestDictionariesOfEveryMakeAreMappings(t *testing.T) {
	for name, text := range map[string]string{
		"a dictionary":           "\x80\x03}X\x01\x00\x00\x00kK\x01s.",
		"dict() of pairs":        "\x80\x03cbuiltins\ndict\n]X\x01\x00\x00\x00kK\x01\x86a\x85R.",
		"an OrderedDict":         "\x80\x03ccollections\nOrderedDict\n)RX\x01\x00\x00\x00kK\x01s.",
		"OrderedDict, Python 2":  "\x80\x02ccollections\nOrderedDict\n](]X\x01\x00\x00\x00kaK\x01ae\x85R.",
		"a Counter":              "\x80\x03ccollections\nCounter\n}X\x01\x00\x00\x00kK\x01s\x85R.",
		"a defaultdict":          "\x80\x03ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RX\x01\x00\x00\x00kK\x01s.",
		"a subclass":             "\x80\x03capp\nMine\n)\x81X\x01\x00\x00\x00kK\x01s.",
		"a subclass, protocol 1": "ccopy_reg\n_reconstructor\n(capp\nMine\nc__builtin__\ndict\n}X\x01\x00\x00\x00kK\x01stR.",
	} {
		v, err := pickle.Load([]byte(text), pickle.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d, ok := pickle.Mapping(v)
		if !ok {
			t.Errorf("%s is none: %#v", name, v)
			continue
		}
		var got string
		for _, p := range d.Items {
			if list, isList := p.Key.(*pickle.List); isList {
				t.Errorf("%s: the key is %v", name, list)
			}
			got += fmt.Sprint(p.Key, "=", p.Value)
		}
		if diff := cmp.Diff("k=1", got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOtherValuesAreNoMappings(t *testing.T) {
	for _, text := range []string{"\x80\x03X\x01\x00\x00\x00k.", "\x80\x03N.", "\x80\x03]K\x01a.", "\x80\x03cdecimal\nDecimal\nX\x01\x00\x00\x001\x85R.",
		"\x80\x03cbuiltins\ndict\nK\x01\x85R.", "ccopy_reg\n_reconstructor\n(capp\nMine\nc__builtin__\nlist\n]tR."} {
		v, err := pickle.Load([]byte(text), pickle.Limits{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d, ok := pickle.Mapping(v); ok {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}
