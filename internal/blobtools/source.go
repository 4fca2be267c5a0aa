package blobtools

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// cacheFolders is how many folders ZEO's clients spread a cache over.
const cacheFolders = 997

// A fileName is what the path of a file says about the blob in it.
type fileName struct {
	oid  zodb.Oid
	tid  zodb.Tid
	part bool // of a download that was interrupted
}

// decode reads the path of a file in any of the layouts in which blobs are found; names are its parts, the last one is
// the file's:
//
//	cache      <oid mod 997>/<oid div 997>.<tid>.blob        of ZEO's clients, decimal and 16 hexadecimal digits
//	bushy      0x00/…/0x2a/0x<tid>.blob                      eight folders
//	lawn       0x2a/0x<tid>.blob                             one folder, which is not in another one of this kind
//	set aside  <oid>.<tid>.blob                              16 hexadecimal digits each, as a rewind leaves them
//
// A name that ends with .dl is a download that was interrupted. Whether there is such a blob the caller has to find
// out.
func decode(names []string) (f fileName, ok bool) {
	if len(names) == 0 {
		return f, false
	}
	file, part := strings.CutSuffix(names[len(names)-1], ".dl")
	folders := names[:len(names)-1]
	f.part = part
	if tid, is := blobstore.ParseFileName(file); is {
		f.tid = tid
		f.oid, ok = blobstore.ParseFolder(folders)
		return f, ok
	}
	head, is := strings.CutSuffix(file, ".blob")
	first, last, two := strings.Cut(head, ".")
	if !is || !two || !parse16(last, &f.tid) {
		return f, false
	}
	if parse16(first, &f.oid) {
		return f, true
	}
	if len(folders) == 0 {
		return f, false
	}
	f.oid, ok = cacheOid(folders[len(folders)-1], first)
	return f, ok
}

// cacheOid is the oid of a file in a cache.
func cacheOid(folder, file string) (zodb.Oid, bool) {
	rest, err := strconv.ParseUint(folder, 10, 64)
	if err != nil || rest >= cacheFolders || strconv.FormatUint(rest, 10) != folder {
		return 0, false
	}
	base, err := strconv.ParseUint(file, 10, 64)
	if err != nil || strconv.FormatUint(base, 10) != file || base > (1<<64-1-rest)/cacheFolders {
		return 0, false
	}
	return zodb.Oid(base*cacheFolders + rest), true
}

// parse16 reads 16 lower-case hexadecimal digits.
func parse16[T ~uint64](s string, into *T) bool {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 || strings.ToLower(s) != s {
		return false
	}
	*into = 0
	for _, x := range b {
		*into = *into<<8 | T(x)
	}
	return true
}

// maxDepth bounds how deep a source is looked into: a bushy directory in a folder of a folder.
const maxDepth = 16

// A source is a folder in which blobs may be.
type source struct {
	disk vfs.FS
	root string
}

// each calls do with the path of each file that has a name of a blob, and note with each folder that cannot be read.
// Symbolic links below the source are not followed.
func (s *source) each(do func(f fileName, path string) error, note func(error)) error {
	root, err := filepath.Abs(s.root)
	if err != nil {
		return err
	}
	if _, err := s.disk.ReadDir(s.root); err != nil {
		return fmt.Errorf("look for blobs in %s: %w", s.root, err)
	}
	names := strings.Split(strings.Trim(root, string(filepath.Separator)), string(filepath.Separator))
	return s.walk(s.root, names, maxDepth, do, note)
}

func (s *source) walk(dir string, names []string, depth int, do func(fileName, string) error, note func(error)) error {
	entries, err := s.disk.ReadDir(dir)
	if err != nil {
		note(err)
		return nil
	}
	names = names[:len(names):len(names)]
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && depth == 0:
			note(fmt.Errorf("%s: %w", path, errTooDeep))
		case e.IsDir():
			err = s.walk(path, append(names, e.Name()), depth-1, do, note)
		case e.Type().IsRegular():
			if f, ok := decode(append(names, e.Name())); ok {
				err = do(f, path)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errTooDeep = errors.New("it is too deep to be looked into: name a folder nearer to the blobs")
