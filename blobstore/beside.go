package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/zodb"
)

// BesideOptions are those of ConvertBeside. Pace is required.
type BesideOptions struct {
	// OldNames are not removed: who reads the directory by the old layout, and does not hear of another one, goes on.
	OldNames bool
	Pace     func(ctx context.Context) error // waits before each blob, or says why not to go on
	Progress func(Conversion)                // may be nil
}

// maxLooks bounds how often the directory is looked through for blobs that have no second name.
const maxLooks = 5

// ConvertBeside is Convert while the Store is in use: blobs come and go meanwhile. From the plan on, each blob that
// comes gets a name in both layouts, and each that goes loses both.
//
//	plan       durable; then each blob that comes gets both names
//	link       those that were there get the second one, all of them durable; once more if one that came got none
//	marker     replaced, while no blob gets a name and no pack goes on
//	           with OldNames that is all: each blob has both names until the next call
//	plan       end, durable; then a blob that comes gets one name
//	wait       for those who go through the old names
//	remove     the old names, and the folders that become empty
//	plan       removed
//
// A file system without links is refused: to copy blobs would take their room twice.
func (s *Store) ConvertBeside(ctx context.Context, to string, opt BesideOptions) (*Conversion, error) {
	return s.converted(ctx, to, &converter{progress: opt.Progress, beside: &opt}, (*converter).runBeside)
}

// WouldConvert says what ConvertBeside, or without old names Convert, has to do. It changes nothing.
func (s *Store) WouldConvert(ctx context.Context, to string, oldNames bool) (*Conversion, error) {
	would := &Conversion{From: s.Layout(), To: to}
	began, err := s.Converting()
	if err != nil || !began && would.From == to {
		return would, err
	}
	would.OldNames = oldNames
	count := func(_ zodb.Oid, _ zodb.Tid, size int64, _ string) error {
		would.Blobs++
		would.Bytes += size
		return context.Cause(ctx)
	}
	if would.From != to {
		if err = s.Walk(count); !oldNames {
			would.Removed = would.Blobs
		}
		return would, err
	}
	if !oldNames {
		err = s.survey(otherThan(s.layout()), nil, &Surveyor{
			Blob: func(zodb.Oid, zodb.Tid, string, fs.FileInfo) error {
				would.Removed++
				return context.Cause(ctx)
			},
			Other:      func(string, fs.DirEntry) error { return nil },
			Unreadable: func(_ string, err error) error { return err },
		})
	}
	return would, err
}

func (c *converter) runBeside(ctx context.Context) error {
	if err := c.s.Here(); err != nil {
		return err
	}
	began, err := c.s.Converting()
	if err != nil || !began && c.from == c.to {
		return err
	}
	if c.from != c.to {
		if err := c.twice(ctx); err != nil {
			return err
		}
	}
	if c.beside.OldNames {
		c.did.OldNames = true
		return nil
	}
	return c.once(ctx)
}

// twice gives each blob a name in the new layout, and the directory the new marker.
func (c *converter) twice(ctx context.Context) error {
	if err := c.s.tryLink(); err != nil {
		return fmt.Errorf("blobs cannot have two names here (%w): stop the server, and convert without one", err)
	}
	if err := c.plan(""); err != nil {
		return err
	}
	c.s.want(both)
	for range maxLooks {
		missed := c.s.missed.Load()
		if err := c.linkAll(ctx); err != nil {
			return err
		}
		if switched, err := c.switchBeside(ctx, missed); switched || err != nil {
			return err
		}
		c.did.Blobs, c.did.Bytes, c.did.Left = 0, 0, 0
	}
	return errors.New("blobs that came meanwhile could not get a second name: the log of the node says why")
}

// want says what blobs get that come from now on.
func (s *Store) want(d doubling) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.doubling.Store(int32(d))
}

// switchBeside replaces the marker, if no blob is without its second name.
func (c *converter) switchBeside(ctx context.Context, missed int64) (switched bool, err error) {
	end, err := c.s.keepLayout(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	c.s.publishing.Lock()
	defer c.s.publishing.Unlock()
	if c.s.missed.Load() != missed {
		return false, nil
	}
	if err := c.s.Here(); err != nil {
		return false, err
	}
	return true, c.switchTo()
}

// once removes the names of the old layout.
func (c *converter) once(ctx context.Context) error {
	c.from = otherThan(c.to)
	if err := c.plan(" " + planEnd); err != nil {
		return err
	}
	c.s.want(ending)
	if err := c.s.walks.wait(ctx, c.from.name()); err != nil {
		return err
	}
	if err := c.removeAll(ctx); err != nil {
		return err
	}
	return c.dropPlan()
}
