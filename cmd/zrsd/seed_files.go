package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// openCopy opens what --from-files names, for reading, and has c take of it what is right. The caller ends that.
func (opt *seedCommandOptions) openCopy(c *node.SecondaryConfig) (end func(), err error) {
	data, err := firstOf(opt.files, filepath.Base(c.Data), "Data.fs")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(data)
	if err != nil {
		return nil, cannotOpen(err)
	}
	end = func() { _ = f.Close() } // it was only read
	if err := opt.useCopy(c, f); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// useCopy has c take what is right of an open data file, and of the blobs beside it.
func (opt *seedCommandOptions) useCopy(c *node.SecondaryConfig, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return cannotOpen(err)
	}
	if target, err := os.Stat(c.Data); err == nil && os.SameFile(info, target) {
		return usage(fmt.Errorf("--from-files %s: that is the same file as --data %s: give the folder of another copy",
			opt.files, c.Data))
	}
	c.SeedCopy = &secondary.SeedCopy{Data: f, Size: info.Size()}
	if c.Blobs == "" {
		return nil
	}
	dir, err := firstOf(opt.files, filepath.Base(c.Blobs), "blobs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // all blobs come from the node
	}
	if err != nil {
		return err
	}
	blobs, err := blobstore.Open(dir, blobstore.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("--from-files %s: %w", opt.files, err)
	}
	c.SeedCopy.OpenBlob = func(oid zodb.Oid, tid zodb.Tid) (secondary.CopiedBlob, error) {
		return blobs.OpenBlob(oid, tid)
	}
	return nil
}

// firstOf returns the first of these names that is in a folder.
func firstOf(dir string, names ...string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", cannotOpen(fmt.Errorf("--from-files: %w", err))
	}
	names = slices.Compact(names)
	for _, name := range names {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", cannotOpen(fmt.Errorf("--from-files: %w", err))
		}
	}
	return "", cannotOpen(fmt.Errorf("--from-files %s: %w there: %s", dir, fs.ErrNotExist, strings.Join(names, ", ")))
}
