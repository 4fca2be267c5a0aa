package zrs_test

import (
	"bytes"
	"testing"

	"github.com/zrsd/zrsd/internal/zrs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// What a real zc.zrs secondary has in its file for each: the same as for a real zc.zrs primary.
func TestExtensionsOfEveryMakeArriveAsFromARealPrimary(t *testing.T) {
	const ordered = "\x80\x03ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00xq\x02K\x01s."
	for name, c := range map[string]struct{ file, arrives string }{
		"a dictionary":           {"\x80\x03}q\x00X\x01\x00\x00\x00aq\x01K\x01s.", "\x80\x03}q\x00X\x01\x00\x00\x00aq\x01K\x01s."},
		"an OrderedDict":         {ordered, ordered},
		"an empty OrderedDict":   {"\x80\x03ccollections\nOrderedDict\nq\x00)Rq\x01.", ""},
		"text":                   {"\x80\x03X\x01\x00\x00\x00xq\x00.", "\x80\x03X\x01\x00\x00\x00xq\x00."},
		"a list":                 {"\x80\x03]q\x00K\x01a.", "\x80\x03]q\x00K\x01a."},
		"None":                   {"\x80\x03N.", ""},
		"str of Python 2, ASCII": {"\x80\x02}U\x01aK\x01s.", "\x80\x03}q\x00U\x01aq\x01K\x01s."},
		"str of Python 2":        {"\x80\x02}U\x01aU\x02\xc3\xa4s.", "\x80\x03}q\x00U\x01aq\x01C\x02\xc3\xa4q\x02s."},
		"a defaultdict": {
			"\x80\x03ccollections\ndefaultdict\nq\x00cbuiltins\nlist\nq\x01\x85q\x02Rq\x03X\x01\x00\x00\x00qq\x04K\x01s.",
			"\x80\x03ccollections\ndefaultdict\nq\x00cbuiltins\nlist\nq\x01\x85q\x02Rq\x03X\x01\x00\x00\x00qq\x04K\x01s."},
	} {
		var out bytes.Buffer
		enc := zrs.NewEncoder(&out, 0)
		enc.Garbled = func(_ zodb.Tid, err error) { t.Errorf("%s is sent empty: %v", name, err) }
		txn := &kept{meta: zodb.TxnMeta{Tid: 9, Status: zodb.StatusCommitted, Extension: []byte(c.file)}}
		if err := enc.Encode(txn); err != nil {
			t.Fatal(err)
		}
		if err := enc.Flush(); err != nil {
			t.Fatal(err)
		}
		all, err := decode(out.Bytes(), 0, protocol.Limits{})
		if err != nil || len(all) != 1 {
			t.Errorf("%s: %d transactions, %v", name, len(all), err)
			continue
		}
		if got := string(all[0].meta.Extension); got != c.arrives {
			t.Errorf("%s: got %q, want %q", name, got, c.arrives)
		}
	}
}
