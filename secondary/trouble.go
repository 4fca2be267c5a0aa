package secondary

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/protocol"
)

// A NoSpaceError says that the primary's data file is not taken, because the disk here has no room for it. Nothing was
// written.
type NoSpaceError struct {
	Path string // of the Data.fs
	Free int64  // bytes
	Need int64  // bytes that are missing here, blobs not counted
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("no space: the disk of %s has %d bytes left, and %d bytes are to come, blobs not counted; it "+
		"must not become nearly full: free some space there; a node goes on by itself, zrsd seed when it is called "+
		"again", e.Path, e.Free, e.Need)
}

// checkRoom looks whether so many bytes of a data file fit on the disk. A secondary that follows live uses what there
// is to the end; one that is seeded may have weeks to write.
func (s *Secondary) checkRoom(bytes int64) error {
	if free, enough := s.st.RoomFor(bytes); !enough {
		return &localError{&NoSpaceError{s.st.Path(), free, bytes}}
	}
	return nil
}

// troubleOf is what the primary shows an error as.
func troubleOf(err error) string {
	var room *NoSpaceError
	var gone *blobstore.GoneError
	switch {
	case errors.As(err, &room), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return protocol.TroubleNoSpace
	case errors.As(err, &gone):
		return protocol.TroubleNotMounted
	}
	return ""
}
