package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/zconfig"
)

// writtenTo are the keys that name what a server writes, by the type of their section.
var writtenTo = map[string][]string{
	"filestorage": {"path", "blob-dir"},
	"blobstorage": {"blob-dir"},
	"zeo":         {"pid-filename"},
	"logfile":     {"path"},
}

// MakeFolders creates the folders for what a configuration file has a server write: for a new volume, which is empty.
// What is wrong in the file is for Load to report.
func MakeFolders(file string) error {
	tree, err := zconfig.Load(file, zconfig.Options{})
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	return makeFolders(tree.Root)
}

func makeFolders(s *zconfig.Section) error {
	var errs []error
	for _, k := range s.Keys {
		path, err := expand(k.Value)
		if err != nil || !slices.Contains(writtenTo[s.Type], k.Name) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(vfs.CleanPath(path)), 0o777); err != nil {
			errs = append(errs, fmt.Errorf("%v: %s: creating its folder: %w", k.At, k.Name, err))
		}
	}
	for _, inner := range s.Sections {
		errs = append(errs, makeFolders(inner))
	}
	return errors.Join(errs...)
}
