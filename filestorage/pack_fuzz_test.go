package filestorage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Whatever opens as a storage can be packed, or is refused with a typed error and stays what it is. Without garbage
// collection every object that can be loaded is afterwards what it was, also after opening the file again.
func FuzzPack(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*/Data.fs*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		if data := mustRead(f, file); len(data) < 3000 && bytes.HasPrefix(data, []byte("FS")) {
			f.Add(data, uint64(forever), false)
			f.Add(data, uint64(0x03f865801aaaaaaa), true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, stop uint64, gc bool) {
		disk := simdisk.New()
		file, err := disk.OpenFile("Data.fs", os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		s, err := openIdle(t, disk)
		if err != nil {
			return
		}
		before := loads(s)
		opt := PackOptions{GC: gc, References: toyReferences}
		r, err := s.Pack(t.Context(), zodb.Tid(max(stop, 1)), opt)
		var record *RecordError
		var dangling *DanglingError
		if err != nil && !isTyped(err) && !errors.As(err, &record) && !errors.As(err, &dangling) {
			t.Errorf("error without a type: %v", err)
		}
		if gc && r.Packed {
			clear(before)
		}
		for range 2 {
			after := loads(s)
			for oid, was := range before {
				if is := after[oid]; is != was {
					t.Errorf("oid %v is %q, was %q, after a pack with %+v, %v", oid, is, was, r, err)
				}
			}
			s.release()
			if s, err = openIdle(t, disk); err != nil {
				t.Fatal(err)
			}
		}
		s.release()
	})
}

// loads returns the tids and data of all objects that can be loaded.
func loads(s *Storage) map[zodb.Oid]string {
	all := map[zodb.Oid]string{}
	for oid := range s.index.all() {
		if data, tid, err := s.Load(oid); err == nil {
			all[oid] = tid.String() + string(data)
		}
	}
	return all
}
