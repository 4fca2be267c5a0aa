package blobtools_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/zodb"
)

// A lister is an object store that has the blobs of some oids, or cannot be asked.
type lister struct {
	oids []zodb.Oid
	tid  zodb.Tid
	err  error
}

func (l *lister) String() string { return "object store s" }

func (l *lister) Blobs(_ context.Context, visit func(zodb.Oid, zodb.Tid)) error {
	for _, oid := range l.oids {
		visit(oid, l.tid)
	}
	return l.err
}

var errAway = errors.New("the network is away")

// asked answers of blob 1 that a node has it, of blob 2 that nobody has it, and of the others that nobody can be asked.
func asked(_ context.Context, oid zodb.Oid, tid zodb.Tid) (string, error) {
	switch oid {
	case 1:
		return "node db2:5000", nil
	case 2:
		return "", &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return "", errAway
}

// evicted returns a blob directory that has lost its first blobs.
func evicted(t *testing.T, lost int, partial bool) (*site, zodb.Tid) {
	t.Helper()
	s := newSite(t, blobstore.Bushy)
	var oids []int
	for oid := range lost + 1 {
		oids = append(oids, oid+1)
	}
	tid := s.commit(oids...)
	for oid := range lost {
		must(t, os.Remove(s.path(zodb.Oid(oid+1), tid)))
	}
	if partial {
		must(t, s.store.MarkPartial())
	}
	return s, tid
}

// A blob that is not in a blob cache is missing only when all have said that they do not have it. In a directory that
// has all blobs it is missing, whoever has it.
func TestAnEvictedBlobIsMissingOnlyWhereNobodyHasIt(t *testing.T) {
	for name, c := range map[string]struct {
		partial bool
		stored  []zodb.Oid
		trouble error
		ask     func(context.Context, zodb.Oid, zodb.Tid) (string, error)
		want    []string
	}{
		"all blobs":               {want: []string{"missing 1", "missing 2", "missing 3"}},
		"all blobs, with a store": {stored: []zodb.Oid{1}, want: []string{"missing 1", "missing 2", "missing 3"}},
		"a cache":                 {partial: true, want: []string{"unasked 1", "unasked 2", "unasked 3"}},
		"a cache with a store":    {true, []zodb.Oid{3}, nil, nil, []string{"elsewhere 3", "unasked 1", "unasked 2"}},
		"a cache with nodes":      {true, nil, nil, asked, []string{"away 3", "elsewhere 1", "missing 2"}},
		"a cache with both": {partial: true, stored: []zodb.Oid{3}, ask: asked,
			want: []string{"elsewhere 1", "elsewhere 3", "missing 2"}},
		"its store is away": {true, nil, errAway, nil, []string{"unasked 1", "unasked 2", "unasked 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, tid := evicted(t, 3, c.partial)
			var list []blobtools.Finding
			sum, err := blobtools.Audit(t.Context(), blobtools.AuditOptions{Path: s.data, Blobs: s.store,
				Store: &lister{c.stored, tid, c.trouble}, Ask: c.ask,
				Report: func(f *blobtools.Finding) error { list = append(list, *f); return nil }})
			must(t, err)
			if diff := cmp.Diff(c.want, kinds(list)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if want := sum.Found[blobtools.Missing] + sum.Found[blobtools.Away]; sum.Damages != want ||
				sum.Warnings != sum.Found[blobtools.Unasked] {
				t.Errorf("%+v", sum)
			}
			if c.trouble != nil && !strings.Contains(list[0].Text, errAway.Error()) {
				t.Errorf("it is not said why the store was not asked: %s", list[0].Text)
			}
		})
	}
}

// Where nobody can be asked, an audit of very many blobs does not wait for each of them.
func TestAnAuditStopsAskingWhereNobodyAnswers(t *testing.T) {
	const lost = 200
	s, _ := evicted(t, lost, true)
	var questions atomic.Int64
	var list []blobtools.Finding
	_, err := blobtools.Audit(t.Context(), blobtools.AuditOptions{Path: s.data, Blobs: s.store,
		Ask: func(context.Context, zodb.Oid, zodb.Tid) (string, error) {
			questions.Add(1)
			return "", errAway
		},
		Report: func(f *blobtools.Finding) error { list = append(list, *f); return nil }})
	must(t, err)
	away := func(f blobtools.Finding) bool {
		return f.Kind == blobtools.Away && strings.Contains(f.Text, errAway.Error())
	}
	if n := questions.Load(); n > lost/2 || len(list) != lost || slices.IndexFunc(list, func(f blobtools.Finding) bool {
		return !away(f)
	}) >= 0 {
		t.Errorf("%d questions, %d findings: %v", n, len(list), list[len(list)-1])
	}
}
