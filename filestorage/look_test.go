package filestorage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Nobody has to commit for a storage to notice that its file is not the one at its path, or not its own any more.
func TestAnIdleStorageNoticesWhatHappensToItsFile(t *testing.T) {
	for _, d := range displacements {
		t.Run(d.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db", "Data.fs")
			must(t, os.Mkdir(filepath.Dir(path), 0o777))
			s := mustOpen(t, path, Options{})
			commit(t, s, 1, 0, "before")
			must(t, s.Look(), s.Ailment())
			d.happen(t, path)
			var failed *FailedError
			if err := s.Look(); !errors.As(err, &failed) || !strings.Contains(err.Error(), d.says) {
				t.Errorf("the words are: %v", err)
			}
			if !errors.As(s.Ailment(), &failed) || !errors.As(s.Look(), &failed) {
				t.Error("it takes transactions")
			}
			must(t, s.Close())
		})
	}
}

// A look is no transaction: it waits for none, keeps none waiting, and takes what is half written for nobody else's.
func TestALookLeavesTransactionsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	s := mustOpen(t, path, Options{})
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	mustStore(t, txn, 1, 0, "half of it")
	must(t, s.Look(), txn.Complete(), s.Look(), txn.Abort(), s.Look())
	must(t, os.Remove(path+lockSuffix), s.Look())
	if _, err := os.Stat(path + lockSuffix); err != nil {
		t.Errorf("the lock file was not made again: %v", err)
	}
	commit(t, s, 1, 0, "after it")
	must(t, s.Look(), s.Close(), s.Look())
}
