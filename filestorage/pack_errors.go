package filestorage

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// ErrPacking says that another pack is under way.
var ErrPacking = errors.New("a pack is already running: wait for it to end")

// A RecordError says that garbage collection cannot find the references of an object.
type RecordError struct {
	Oid zodb.Oid
	Pos int64 // of the record in the Data.fs
	Err error

	// From is an object that refers to it, and FromPos the record that does; 0: none was found, as for the root.
	From    zodb.Oid
	FromPos int64
}

func (e *RecordError) Error() string {
	from := "nothing that could be read refers to it"
	switch {
	case e.Oid == 0:
		from = "it is the root"
	case e.FromPos != 0:
		from = fmt.Sprintf("oid %v refers to it, in the record at %d", e.From, e.FromPos)
	}
	return fmt.Sprintf(
		"references of oid %v in the record at %d: %v; %s: nothing was changed; repair the object, or pack "+
			"without garbage collection",
		e.Oid,
		e.Pos,
		e.Err,
		from,
	)
}

func (e *RecordError) Unwrap() error { return e.Err }

// A DanglingError says that garbage collection found a reference to an object that does not exist, or no root.
type DanglingError struct {
	Oid  zodb.Oid // that does not exist
	From zodb.Oid // that refers to it
	Pos  int64    // of the record that does; 0 for the root
}

func (e *DanglingError) Error() string {
	const advice = "nothing was changed; repair the reference, or pack without garbage collection"
	if e.Pos == 0 {
		return fmt.Sprintf("there is no object with oid %v, the root: %s", e.Oid, advice)
	}
	return fmt.Sprintf("oid %v refers to oid %v in the record at %d, and that did not exist at the pack time: %s",
		e.From, e.Oid, e.Pos, advice)
}

// A SpaceError says that the disk has no room for a second file.
type SpaceError struct {
	Folder     string
	Need, Free int64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the new file may need %d bytes and %s has %d free: free some space, for example remove "+
		"Data.fs.old",
		e.Need, e.Folder, e.Free)
}
