package filestorage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A storage that is opened as of a transaction is, for all that is read, the file that was cut off after it: whether
// the saved index is of later or of no use.
func TestAStorageOpenedAsOfAMomentIsTheFileThatEndedThere(t *testing.T) {
	compared := 0
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		path := filepath.Join(dir, "Data.fs")
		for _, txn := range want.Transactions {
			at, err := OpenMoment(t.Context(), path, txn.Tid, Options{})
			if packed := (*MomentPackedError)(nil); errors.As(err, &packed) {
				continue
			}
			if err != nil {
				return // the fixture is damaged: other tests say how
			}
			cutPath := filepath.Join(t.TempDir(), "Data.fs")
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(cutPath, text[:at.Size()], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			cut, err := Open(t.Context(), cutPath, Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(everything(t, cut), everything(t, at)); diff != "" {
				t.Errorf("as of %v: -want +got\n%s", txn.Tid, diff)
			}
			compared++
			closing(t, cut)
			closing(t, at)
		}
	})
	if compared < 40 {
		t.Errorf("only %d moments were compared", compared)
	}
}

func closing(t *testing.T, st *Storage) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// everything is what a storage says of its end, its transactions and its objects.
func everything(t *testing.T, st *Storage) (all []any) {
	t.Helper()
	all = append(all, st.Size(), st.LastTid(), st.Len())
	for txn, err := range st.Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, txn.Meta().Tid)
	}
	for oid := range st.Oids() {
		data, tid, err := st.Load(oid)
		all = append(all, oid, string(data), tid, err != nil)
	}
	return all
}
