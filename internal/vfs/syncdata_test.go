package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A plain file is one that can only sync everything.
type plain struct {
	File
	synced int
}

func (p *plain) Sync() error {
	p.synced++
	return nil
}

func TestContentIsSyncedByItselfWhereThatIsPossible(t *testing.T) {
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.(DataSyncer); !ok {
		t.Error("a file of the real disk cannot sync its content by itself")
	}
	if _, err := f.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	if err := SyncData(f); err != nil {
		t.Error(err)
	}
	p := &plain{File: f}
	if err := SyncData(p); err != nil || p.synced != 1 {
		t.Errorf("another one was synced %d times, %v", p.synced, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := SyncData(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}
