package filestorage

import (
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// What is looked for under the commit lock costs the same in a history of any length.
func TestLoadRecentLooksAtTheLastRevisionsOnly(t *testing.T) {
	d := newDataFile()
	const revisions = 20_000
	for i := range zodb.Tid(revisions) {
		d.add(2*i+2, zodb.StatusCommitted, written{oid: 1, data: []byte("state")})
	}
	s := d.storage(t)
	file := &countedFile{File: s.file}
	s.file = file
	var missing *zodb.POSKeyError
	begun := time.Now()
	if _, err := s.LoadRecent(1, 2); !errors.As(err, &missing) {
		t.Errorf("the first one: %v", err)
	}
	t.Logf("%d reads, %v", file.reads.Load(), time.Since(begun))
	if n := file.reads.Load(); n > 3*MaxRecent {
		t.Errorf("%d reads", n)
	}
	if _, err := s.LoadRecent(1, 2*(revisions-MaxRecent+1)); err != nil {
		t.Errorf("one of the last: %v", err)
	}
	file.reset()
	begun = time.Now()
	if _, err := s.LoadSerial(1, 2); err != nil {
		t.Errorf("the first one, without a lock: %v", err)
	}
	t.Logf("without a bound: %d reads, %v", file.reads.Load(), time.Since(begun))
	file.reset()
	if _, err := s.LoadSerial(1, 2*revisions-1); !errors.As(err, &missing) || file.reads.Load() > 3*MaxRecent {
		t.Errorf("one that is not there: %v, %d reads", err, file.reads.Load())
	}
}
