package compare_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/compare"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A memory is a Side that holds its transactions as values.
type memory []txn

type txn struct {
	meta    zodb.TxnMeta
	records []record
}

type record struct {
	oid  zodb.Oid
	tid  zodb.Tid
	data string // "" for none
	blob *string
	fail error // of reading the data
}

type iterator struct {
	left []txn
	now  txn
}

func (m memory) Iterate(zodb.Tid, bool) (zodb.Iterator, error) { return &iterator{left: m}, nil }

func (it *iterator) Next(context.Context) (zodb.Transaction, error) {
	if len(it.left) == 0 {
		return nil, io.EOF
	}
	it.now, it.left = it.left[0], it.left[1:]
	return it, nil
}

func (it *iterator) Meta() *zodb.TxnMeta { return &it.now.meta }
func (it *iterator) Pending() bool       { return true }
func (it *iterator) Position() int64     { return int64(len(it.left)) }
func (it *iterator) Close() error        { return nil }

func (it *iterator) NextRecord() (*zodb.Record, error) {
	if len(it.now.records) == 0 {
		return nil, io.EOF
	}
	r := it.now.records[0]
	it.now.records = it.now.records[1:]
	rec := &zodb.Record{Oid: r.oid, Tid: r.tid, Size: zodb.NoData}
	if r.data != "" {
		rec.Size, rec.Data = int64(len(r.data)), strings.NewReader(r.data)
	}
	if r.fail != nil {
		rec.Data = failing{r.fail}
	}
	if r.blob != nil {
		rec.Blob, rec.BlobSize = strings.NewReader(*r.blob), int64(len(*r.blob))
	}
	return rec, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func text(s string) *string { return &s }

// history is two transactions with all that a storage can have; each call returns a fresh copy.
func history() memory {
	big := strings.Repeat("0123456789abcdef", 10<<10) // more than two pieces
	return memory{
		{zodb.TxnMeta{Tid: 1, Status: ' ', User: []byte("u"), Description: []byte("d"), Extension: []byte("e")},
			[]record{
				{oid: 0, tid: 1, data: "root"}, {oid: 1, tid: 1, data: big},
			}},
		{zodb.TxnMeta{Tid: 2, Status: ' '}, []record{
			{oid: 2, tid: 2, data: "blob", blob: text(big)}, {oid: 3, tid: 2, data: "blob", blob: text("")}, {oid: 1,
				tid: 2},
		}},
	}
}

func run(t *testing.T, a, b memory) compare.Result {
	t.Helper()
	res, err := compare.Run(t.Context(), a, b, compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestEqualStoragesAreEqual(t *testing.T) {
	last := zodb.Tid(2)
	want := compare.Result{Equal: true, Transactions: 2, Records: 5, Blobs: 2, LastTid: &last}
	if diff := cmp.Diff(want, run(t, history(), history())); diff != "" {
		t.Error(diff)
	}
	if res := run(t, nil, nil); !res.Equal || res.LastTid != nil {
		t.Errorf("two empty storages: %+v", res)
	}
}

func TestWhatIsEachSidesOwnAffairIsNoDifference(t *testing.T) {
	b := history()
	b[0].meta.Status = zodb.StatusPacked
	b = slices.Insert(b, 1, txn{zodb.TxnMeta{Tid: 1, Status: zodb.StatusUndone}, []record{{oid: 9, tid: 1, data: "x"}}})
	if res := run(t, history(), b); !res.Equal {
		t.Errorf("got %v", res.Difference)
	}
}

func TestTheFirstDifferenceIsNamed(t *testing.T) {
	oid := func(n zodb.Oid) *zodb.Oid { return &n }
	for name, c := range map[string]struct {
		change func(memory) memory
		field  compare.Field
		tid    zodb.Tid
		oid    *zodb.Oid
	}{
		"one transaction more": {func(m memory) memory {
			return append(m, txn{meta: zodb.TxnMeta{Tid: 3,
				Status: ' '}})
		},
			compare.FieldTransaction, 3, nil},
		"one transaction less": {func(m memory) memory { return m[:1] }, compare.FieldTransaction, 2, nil},
		"the first is missing": {func(m memory) memory { return m[1:] }, compare.FieldTransaction, 1, nil},
		"nothing at all":       {func(memory) memory { return nil }, compare.FieldTransaction, 1, nil},
		"another tid": {func(m memory) memory { m[1].meta.Tid = 7; return m }, compare.FieldTransaction, 2,
			nil},
		"another status": {func(m memory) memory { m[1].meta.Status = 'x'; return m }, compare.FieldStatus, 2,
			nil},
		"another user": {func(m memory) memory { m[0].meta.User = nil; return m }, compare.FieldUser, 1, nil},
		"another description": {func(m memory) memory { m[0].meta.Description = []byte("D"); return m },
			compare.FieldDescription, 1, nil},
		"another extension": {func(m memory) memory { m[1].meta.Extension = []byte("x"); return m },
			compare.FieldExtension, 2, nil},
		"a record more": {func(m memory) memory {
			m[0].records = append(m[0].records, record{oid: 8,
				tid: 1})
			return m
		},
			compare.FieldRecord, 1, oid(8)},
		"a record less": {func(m memory) memory { m[1].records = m[1].records[:2]; return m }, compare.FieldRecord,
			2, oid(1)},
		"another order": {func(m memory) memory { slices.Reverse(m[0].records); return m }, compare.FieldRecord, 1,
			oid(0)},
		"another serial": {func(m memory) memory { m[0].records[0].tid = 5; return m }, compare.FieldRecordTid, 1,
			oid(0)},
		"shorter data": {func(m memory) memory { m[0].records[0].data = "roo"; return m }, compare.FieldData, 1,
			oid(0)},
		"no data": {func(m memory) memory { m[0].records[0].data = ""; return m }, compare.FieldData, 1, oid(0)},
		"the last byte": {func(m memory) memory {
			d := m[0].records[1].data
			m[0].records[1].data = d[:len(d)-1] + "!"
			return m
		}, compare.FieldData, 1, oid(1)},
		"no blob": {func(m memory) memory { m[1].records[1].blob = nil; return m }, compare.FieldBlob, 2, oid(3)},
		"longer blob": {func(m memory) memory { m[1].records[1].blob = text("x"); return m }, compare.FieldBlob, 2,
			oid(3)},
		"other blob": {func(m memory) memory {
			b := *m[1].records[0].blob
			m[1].records[0].blob = text(b[:70000] + "!" + b[70001:])
			return m
		}, compare.FieldBlob, 2, oid(2)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, res := range []compare.Result{run(t, history(), c.change(history())), run(t, c.change(history()),
				history())} {
				if res.Equal || res.Difference == nil {
					t.Fatal("no difference found")
				}
				d := res.Difference
				if d.Field != c.field || d.Tid != c.tid || (c.oid == nil) != (d.Oid == nil) {
					t.Errorf("got %v", d)
				}
				if strings.Contains(d.String(), "\n") || !strings.Contains(d.String(), c.tid.String()) {
					t.Errorf("not a line for people: %q", d)
				}
			}
		})
	}
}

func TestTheOffsetOfTheFirstOtherByteIsTold(t *testing.T) {
	b := history()
	blob := *b[1].records[0].blob
	b[1].records[0].blob = text(blob[:70000] + "!" + blob[70001:])
	if d := run(t, history(), b).Difference; d == nil || !strings.Contains(d.B, "from offset 70000 on") {
		t.Errorf("got %v", d)
	}
}

func TestASideThatCannotBeReadIsAnError(t *testing.T) {
	broken := errors.New("bad sector")
	for _, side := range []string{"A", "B"} {
		a, b := history(), history()
		if side == "A" {
			a[0].records[0].fail = broken
		} else {
			b[0].records[0].fail = broken
		}
		_, err := compare.Run(t.Context(), a, b, compare.Options{})
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "reading "+side) {
			t.Errorf("got %v", err)
		}
	}
}

// Any two histories: equal exactly when a plain comparison of the values says so.
func TestComparisonAgreesWithTheValues(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) memory {
		var m memory
		for tid := range rapid.IntRange(0, 3).Draw(t, "transactions") {
			one := txn{meta: zodb.TxnMeta{Tid: zodb.Tid(tid + 1), Status: ' ',
				User: []byte(rapid.SampledFrom([]string{"", "u"}).Draw(t, "user"))}}
			for range rapid.IntRange(0, 2).Draw(t, "records") {
				one.records = append(one.records, record{
					oid: zodb.Oid(rapid.IntRange(0, 1).Draw(t, "oid")), tid: one.meta.Tid,
					data: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "data"),
				})
			}
			m = append(m, one)
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		res, err := compare.Run(context.Background(), a, b, compare.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if res.Equal != bytes.Equal(flat(a), flat(b)) {
			t.Fatalf("got %+v", res)
		}
	})
}

func flat(m memory) []byte {
	var b bytes.Buffer
	for _, one := range m {
		b.WriteString("txn " + one.meta.Tid.String() + string(one.meta.User) + "\n")
		for _, r := range one.records {
			b.WriteString("rec " + r.oid.String() + r.data + "\n")
		}
	}
	return b.Bytes()
}

// TestWhatABlobCacheHasEvictedIsNoDifference, on the side that is one only.
func TestWhatABlobCacheHasEvictedIsNoDifference(t *testing.T) {
	evicted := func() memory {
		m := history()
		for _, txn := range m {
			for i := range txn.records {
				txn.records[i].blob = nil
			}
		}
		return m
	}
	for _, c := range []struct {
		a, b  memory
		opt   compare.Options
		equal bool
	}{
		{evicted(), history(), compare.Options{PartialA: true}, true},
		{history(), evicted(), compare.Options{PartialB: true}, true},
		{evicted(), history(), compare.Options{PartialB: true}, false},
		{history(), evicted(), compare.Options{PartialA: true}, false},
	} {
		res, err := compare.Run(t.Context(), c.a, c.b, c.opt)
		if err != nil || res.Equal != c.equal || c.equal && (res.NotHere != 2 || res.Blobs != 0) {
			t.Errorf("%+v: %+v, %v", c.opt, res, err)
		}
	}
}
