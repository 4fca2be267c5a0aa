package salvage

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// folder is the record of a folder that has these objects by the names a, b, …
func folder(children ...zodb.Oid) string {
	items := ""
	for i, oid := range children {
		ref := string([]byte{'C', 8, 0, 0, 0, 0, 0, 0, byte(oid >> 8), byte(oid)}) // SHORT_BINBYTES
		items += fmt.Sprintf("X\x01\x00\x00\x00%c(%scapp\nFolder\ntQ", 'a'+i, ref)
	}
	return "\x80\x03capp\nFolder\n.\x80\x03}(" + items + "u."
}

// Object 1 is in the storage, 10 to 13 only in the fragment, 20 is reached from nowhere. Two folders have 13.
func TestObjectsOfTheFragmentHaveThePathsOfItsRecords(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	commit(t, st, 0x10, map[zodb.Oid]string{0: folder(1), 1: folder()})
	commit(t, st, 0x20, map[zodb.Oid]string{1: folder(10), 10: folder(11, 13), 11: folder(12), 12: folder(13)})
	commit(t, st, 0x21, map[zodb.Oid]string{13: folder(), 20: folder(21), 21: folder(20)})
	commit(t, st, 0x22, map[zodb.Oid]string{0: folder(1, 22), 22: "no pickle"})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	f := fragment(t, filepath.Join(dir, "Data.fs"))
	paths := map[zodb.Oid]string{0: "/", 1: "/a", 20: ""}
	if err := f.Places(t.Context(), paths); err != nil {
		t.Fatal(err)
	}
	want := map[zodb.Oid]string{
		0: "/", 1: "/a", 10: "/a/a", 11: "/a/a/a", 12: "/a/a/a/a", 13: "/a/a/b", 20: "", 22: "/b",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}
