package workload

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAPackRemovesHalfOfWhatWasFilledTwice(t *testing.T) {
	storage, err := Open(t.Context(), filepath.Join(t.TempDir(), "Data.fs"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := storage.Close(); err != nil {
			t.Error(err)
		}
	}()
	set := Set{Transactions: 20, Records: 5, RecordSize: 1000}
	if err := FillTwice(t.Context(), storage, set, 1); err != nil {
		t.Fatal(err)
	}
	before := storage.Size()
	if _, err := storage.Pack(t.Context(), storage.LastTid()+1, filestorage.PackOptions{GC: true}); err != nil {
		t.Fatal(err)
	}
	if want := 1 + set.Transactions*set.Records; storage.Len() != want {
		t.Errorf("%d objects, want %d", storage.Len(), want)
	}
	if after := storage.Size(); after > before*6/10 || after < before*4/10 {
		t.Errorf("%d bytes of %d are left", after, before)
	}
}
