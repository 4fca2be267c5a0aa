package export

import (
	"errors"
	"fmt"
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
//	OUT.zrsd-old    what was there before, with --force, for a folder, until that sync. A crash may leave it
//
// SQLite writes its one file by itself, without journal and syncs: nobody opens it under its temporary name, and it is
// closed and synced before it gets the other one.
type output struct {
	disk                 vfs.FS
	path, temporary, old string
	folder, replace      bool
}

// prepare refuses what may not be replaced, and removes what an interrupted export has left.
func prepare(disk vfs.FS, path string, folder, force bool) (*output, error) {
	path = filepath.Clean(path)
	o := &output{disk: disk, path: path, temporary: path + ".zrsd-new", old: path + ".zrsd-old", folder: folder}
	e, err := entry(disk, path)
	if err != nil {
		return nil, err
	}
	if e != nil {
		earlier := e.Type().IsRegular() && !folder && isSQLite(disk, path) ||
			e.IsDir() && folder && isExport(disk, path)
		if !force || !earlier {
			return nil, &ExistsError{path, earlier}
		}
		o.replace = true
	}
	return o, o.remove()
}

func isExport(disk vfs.FS, folder string) bool {
	_, err := disk.Stat(filepath.Join(folder, manifest))
	return err == nil
}

// isSQLite reports whether a file begins as each SQLite database does.
func isSQLite(disk vfs.FS, path string) bool {
	const head = "SQLite format 3\x00"
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, len(head))
	_, err = f.ReadAt(b, 0)
	return err == nil && string(b) == head
}

// remove removes what is at the temporary name.
func (o *output) remove() error { return removeAll(o.disk, o.temporary) }

// entry returns what a folder says of a name: of a link that it is one. Nil: there is nothing.
func entry(disk vfs.FS, path string) (fs.DirEntry, error) {
	entries, err := disk.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(path) {
			return e, nil
		}
	}
	return nil, nil //nolint:nilnil // there is nothing
}

// removeAll removes a file or a folder with all that is in it, and of a link only itself. There may be none.
func removeAll(disk vfs.FS, path string) error {
	e, err := entry(disk, path)
	if e == nil || err != nil {
		return err
	}
	return removeEntry(disk, path, e)
}

func removeEntry(disk vfs.FS, path string, e fs.DirEntry) error {
	if e.IsDir() {
		inside, err := disk.ReadDir(path)
		if err != nil {
			return err
		}
		for _, one := range inside {
			if err := removeEntry(disk, filepath.Join(path, one.Name()), one); err != nil {
				return err
			}
		}
	}
	return vfs.RemoveIfThere(disk, path)
}

// publish gives a durable export its name, durably.
func (o *output) publish() (err error) {
	switch {
	case o.replace && o.folder:
		if err = removeAll(o.disk, o.old); err == nil {
			err = o.disk.Rename(o.path, o.old)
		}
		if err == nil {
			err = o.disk.Rename(o.temporary, o.path)
		}
	case o.replace, o.folder: // a folder takes the place of none that has something in it
		err = o.disk.Rename(o.temporary, o.path)
	default:
		if err = o.disk.Link(o.temporary, o.path); err == nil { // what has come there meanwhile stays
			err = o.disk.Remove(o.temporary)
		}
	}
	if err != nil {
		return fmt.Errorf("the export is complete in %s, but cannot get its name: %w", o.temporary, err)
	}
	if err := o.disk.SyncDir(filepath.Dir(o.path)); err != nil {
		return err
	}
	if o.replace && o.folder {
		return removeAll(o.disk, o.old) // before that sync a crash could take both
	}
	return nil
}

// syncFile makes a file that was written by its name durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
