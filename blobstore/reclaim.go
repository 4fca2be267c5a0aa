package blobstore

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Reclaim removes what zrsd has put into the folder of incoming files of the blob directory dir, and nobody has written
// to since before: what a crash has left, where no blob has come since. It returns how many files it has removed.
// disk nil: the real one.
func Reclaim(disk vfs.FS, dir string, before time.Time) (removed int, err error) {
	disk = vfs.OrOS(disk)
	tmp := filepath.Join(dir, tmpName)
	entries, err := disk.ReadDir(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		token, isToken := strings.CutPrefix(e.Name(), tokenPrefix)
		ours := strings.HasPrefix(e.Name(), tmpPrefix) || isToken && isTokenName(token)
		if !ours || !e.Type().IsRegular() {
			continue
		}
		info, e2 := e.Info()
		if e2 != nil || !info.ModTime().Before(before) {
			continue // it has gone, or is in use
		}
		e2 = disk.Remove(filepath.Join(tmp, e.Name()))
		if e2 == nil {
			removed++
		}
		err = errors.Join(err, e2)
	}
	return removed, err
}
