package blobtools

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/zodb"
)

// pathsOf are all names that a blob may have, in the words of the programs that give them.
func pathsOf(oid zodb.Oid, tid zodb.Tid) (paths []string) {
	var bushy []string
	for _, b := range oid.Bytes() {
		bushy = append(bushy, fmt.Sprintf("0x%02x", b))
	}
	lawn := "0x" + strings.TrimLeft(fmt.Sprintf("%x", uint64(oid)), "")
	if len(lawn)%2 == 1 {
		lawn = "0x0" + lawn[2:]
	}
	return []string{
		filepath.Join(filepath.Join(bushy...), blobstore.FileName(tid)),
		filepath.Join(lawn, blobstore.FileName(tid)),
		fmt.Sprintf("%d/%d.%v.blob", uint64(oid)%997, uint64(oid)/997, tid),
		fmt.Sprintf("x/%v.%v.blob", oid, tid),
	}
}

// Every name of a blob is read as the blob that it is of, and a part of a bushy path is not taken for a lawn's.
func TestNamesOfBlobs(t *testing.T) {
	for _, oid := range []zodb.Oid{0, 1, 255, 256, 996, 997, 1<<32 + 7, 1<<64 - 1} {
		for _, tid := range []zodb.Tid{1, 0x03f8658010000000, 1<<64 - 1} {
			for _, path := range pathsOf(oid, tid) {
				for _, before := range []string{"", "var/blobs/", "0/1/"} {
					f, ok := decode(strings.Split(before+path, "/"))
					if !ok || f.oid != oid || f.tid != tid || f.part {
						t.Errorf("%s%s: %+v, %v", before, path, f, ok)
					}
					if f, ok := decode(strings.Split(before+path+".dl", "/")); !ok || !f.part {
						t.Errorf("%s%s.dl: %+v, %v", before, path, f, ok)
					}
				}
			}
		}
	}
	for _, path := range []string{
		"", "0x00/0x01/0x02.blob", "997/1.0000000000000001.blob", "01/1.0000000000000001.blob",
		"1/01.0000000000000001.blob", "1/18446744073709551615.0000000000000001.blob", "1/1.1.blob", "1/x.blob",
		"1/1.00000000000000FF.blob", "0x1/0x01.blob", "../0x01.blob", "0x01/0x0001.blob", "1/..blob", "-1/1.blob",
	} {
		if f, ok := decode(strings.Split(path, "/")); ok {
			t.Errorf("%q is taken for %+v", path, f)
		}
	}
}

// Whatever is taken for the name of a blob is the one that the blob has in its layout.
func FuzzDecode(f *testing.F) {
	for _, path := range pathsOf(4711, 0x03f8658010000000) {
		f.Add(path)
		f.Add(path + ".dl")
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, ok := decode(strings.Split(path, "/"))
		if !ok {
			return
		}
		path = strings.TrimSuffix(path, ".dl")
		for _, name := range pathsOf(got.oid, got.tid) {
			if name = strings.TrimPrefix(name, "x/"); path == name || strings.HasSuffix(path, "/"+name) {
				return
			}
		}
		t.Errorf("%q is taken for oid %v tid %v", path, got.oid, got.tid)
	})
}
