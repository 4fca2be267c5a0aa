//go:build !linux

package vfs

import (
	"errors"
	"io/fs"
)

// SyncsAll is known of Linux only.
func (OS) SyncsAll(File) bool { return false }

// SyncAll is not to be called here.
func (OS) SyncAll(folder File) error {
	return &fs.PathError{Op: "syncfs", Path: folder.Name(), Err: errors.ErrUnsupported}
}
