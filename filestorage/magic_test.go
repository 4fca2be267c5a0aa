package filestorage

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestOnlyAnEmptyStorageCanChangeItsMagic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMagic(zodb.Magic{'P', 'K', 3, 4}); err == nil {
		t.Error("took a magic that no Data.fs has")
	}
	if err := s.SetMagic(zodb.MagicFS21); err != nil || s.Magic() != zodb.MagicFS21 {
		t.Fatalf("magic %s: %v", s.Magic(), err)
	}
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMagic(zodb.MagicFS30); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("with a transaction in the file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMagic(zodb.MagicFS30); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if s, err = Open(t.Context(), path, Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	if s.Magic() != zodb.MagicFS21 {
		t.Errorf("opened again it has %s", s.Magic())
	}
	if err := errors.Join(s.SetMagic(zodb.MagicFS30), s.Close()); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
}

func TestAChangedMagicSurvivesACrash(t *testing.T) {
	disk := simdisk.New()
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMagic(zodb.MagicFS21); err != nil {
		t.Fatal(err)
	}
	after := disk.Crash(0)
	_ = s.Close() // without power
	again, err := Open(t.Context(), "Data.fs", Options{FS: after})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Magic() != zodb.MagicFS21 {
		t.Errorf("after the crash it is %s", again.Magic())
	}
}
