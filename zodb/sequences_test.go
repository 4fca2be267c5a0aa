package zodb_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/zodb"
)

// A script is an iterator and a transaction that returns its errors in their order; nil is one more.
type script struct {
	errs []error
	zodb.Iterator
}

func (s *script) step() error {
	if len(s.errs) == 0 {
		panic("asked again after an end")
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return err
}

func (s *script) Next(context.Context) (zodb.Transaction, error) { return s, s.step() }
func (s *script) Meta() *zodb.TxnMeta                            { return &zodb.TxnMeta{} }
func (s *script) NextRecord() (*zodb.Record, error)              { return &zodb.Record{Oid: 7}, s.step() }

var errBroken = errors.New("broken")

func TestARangeEndsWithWhatItIsOverOrWithAnError(t *testing.T) {
	for name, c := range map[string]struct {
		errs []error
		want []error
	}{
		"end":        {[]error{nil, nil, io.EOF}, []error{nil, nil}},
		"nothing":    {[]error{io.EOF}, nil},
		"error":      {[]error{nil, errBroken}, []error{nil, errBroken}},
		"first":      {[]error{errBroken}, []error{errBroken}},
		"cut stream": {[]error{io.ErrUnexpectedEOF}, []error{io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []error
			for txn, err := range zodb.Transactions(t.Context(), &script{errs: c.errs}) {
				if (txn == nil) != (err != nil) {
					t.Errorf("transaction %v with error %v", txn, err)
				}
				got = append(got, err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateErrors()); diff != "" {
				t.Error("transactions:", diff)
			}
			got = nil
			for rec, err := range zodb.Records(&script{errs: c.errs}) {
				if rec == nil || rec.Oid != 7 {
					t.Error("the record that cannot be read is not named")
				}
				got = append(got, err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateErrors()); diff != "" {
				t.Error("records:", diff)
			}
		})
	}
}

func TestARangeThatIsLeftReadsNoFurther(t *testing.T) {
	s := &script{errs: []error{nil, nil, nil, nil}}
	for range zodb.Transactions(t.Context(), s) {
		break
	}
	for range zodb.Records(s) {
		break
	}
	if len(s.errs) != 2 {
		t.Errorf("read %d more", 2-len(s.errs))
	}
}
