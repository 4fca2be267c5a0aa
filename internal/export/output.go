package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
)

// manifest is a file that each folder with an export has, and no other.
const manifest = "zrsd_export.json"

// An ExistsError says that there is something at the place of an export.
type ExistsError struct {
	Path   string
	Export bool // it looks like an earlier export
}

func (e *ExistsError) Error() string {
	if e.Export {
		return fmt.Sprintf("%s exists: choose another name, or give --force to replace it", e.Path)
	}
	return fmt.Sprintf("%s exists and is no export of zrsd: choose another name", e.Path)
}

// An output is where an export goes. Until it is complete and durable it has another name.
//
//	OUT.zrsd-new    written and synced, with the folder ──▶ renamed to OUT ──▶ the folder above is synced
//	OUT.zrsd-old    what was there before, with --force, for a folder, between the two renames. A crash leaves it
type output struct {
	path, temporary, old string
	folder, replace      bool
}

// prepare refuses what may not be replaced, and removes what an interrupted export has left.
func prepare(path string, folder, force bool) (*output, error) {
	path = filepath.Clean(path)
	o := &output{path: path, temporary: path + ".zrsd-new", old: path + ".zrsd-old", folder: folder}
	info, err := os.Lstat(path)
	switch {
	case err == nil:
		earlier := info.Mode().IsRegular() && !folder && isSQLite(path) || info.IsDir() && folder && isExport(path)
		if !force || !earlier {
			return nil, &ExistsError{path, earlier}
		}
		o.replace = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return o, o.remove()
}

func isExport(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, manifest))
	return err == nil
}

// isSQLite reports whether a file begins as each SQLite database does.
func isSQLite(path string) bool {
	const head = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, len(head))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == head
}

// remove removes what is at the temporary name.
func (o *output) remove() error { return os.RemoveAll(o.temporary) }

// publish gives a durable export its name, durably.
func (o *output) publish() (err error) {
	switch {
	case o.replace && o.folder:
		if err = os.RemoveAll(o.old); err == nil {
			err = os.Rename(o.path, o.old)
		}
		if err == nil {
			err = os.Rename(o.temporary, o.path)
		}
		if err == nil {
			err = os.RemoveAll(o.old)
		}
	case o.replace, o.folder: // a folder takes the place of none that has something in it
		err = os.Rename(o.temporary, o.path)
	default:
		if err = os.Link(o.temporary, o.path); err == nil { // what has come there meanwhile stays
			err = os.Remove(o.temporary)
		}
	}
	if err != nil {
		return fmt.Errorf("the export is complete in %s, but cannot get its name: %w", o.temporary, err)
	}
	return vfs.OS{}.SyncDir(filepath.Dir(o.path))
}

// syncFile makes a file that was written by its name durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
