package vfs

import (
	"path/filepath"
	"slices"
	"strings"
)

// Folders are some folders, such as those that cannot be read, by their clean paths.
type Folders []string

// Add adds a folder.
func (f *Folders) Add(dir string) { *f = append(*f, dir+string(filepath.Separator)) }

// Contain reports whether a path is below one of the folders.
func (f *Folders) Contain(path string) bool {
	return slices.ContainsFunc(*f, func(dir string) bool { return strings.HasPrefix(path, dir) })
}
