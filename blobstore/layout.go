package blobstore

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// The names of the layouts, as they are in the marker file.
const (
	Bushy = "bushy"
	Lawn  = "lawn"
)

const suffix = ".blob"

// A layout turns oids into folders below the blob directory, and back.
type layout interface {
	name() string
	folder(oid zodb.Oid) string
	// depth is how many folders lead to the files of one oid.
	depth() int
	// oid parses the names of those folders; false for what folder would not return.
	oid(names []string) (zodb.Oid, bool)
}

func layoutNamed(name string) (layout, bool) {
	switch name {
	case Bushy:
		return bushy{}, true
	case Lawn:
		return lawn{}, true
	}
	return nil, false
}

type bushy struct{}

func (bushy) name() string { return Bushy }
func (bushy) depth() int   { return 8 }

func (bushy) folder(oid zodb.Oid) string {
	parts := make([]string, 0, 8)
	for _, b := range oid.Bytes() {
		parts = append(parts, fmt.Sprintf("0x%02x", b))
	}
	return filepath.Join(parts...)
}

func (l bushy) oid(names []string) (oid zodb.Oid, ok bool) {
	for _, name := range names {
		n, ok := parseHex(name)
		if !ok || len(name) != 4 {
			return 0, false
		}
		oid = oid<<8 | zodb.Oid(n)
	}
	return oid, len(names) == l.depth()
}

type lawn struct{}

func (lawn) name() string               { return Lawn }
func (lawn) depth() int                 { return 1 }
func (lawn) folder(oid zodb.Oid) string { return formatHex(uint64(oid)) }

func (lawn) oid(names []string) (zodb.Oid, bool) {
	if len(names) != 1 {
		return 0, false
	}
	n, ok := parseHex(names[0])
	return zodb.Oid(n), ok
}

// FileName is the name of the file of a blob, in the folder of its object.
func FileName(tid zodb.Tid) string { return formatHex(uint64(tid)) + suffix }

// ParseFileName is the inverse of FileName; false for a name that it would not return.
func ParseFileName(name string) (zodb.Tid, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, ok := parseHex(digits)
	return zodb.Tid(n), ok
}

// ParseFolder returns the oid whose blobs are in a folder, by the last parts of its path, in either layout: eight of
// bushy, or one of lawn that is not in a folder of another number, as what is only a part of a bushy path is.
func ParseFolder(names []string) (zodb.Oid, bool) {
	if n := len(names); n >= (bushy{}).depth() {
		if oid, ok := (bushy{}).oid(names[n-bushy{}.depth():]); ok {
			return oid, true
		}
	}
	if n := len(names); n > 1 {
		if _, is := parseHex(names[n-2]); is {
			return 0, false
		}
	}
	return lawn{}.oid(names[max(len(names)-1, 0):])
}

// formatHex writes n as 0x and whole bytes, without leading zero bytes, at least one.
func formatHex(n uint64) string {
	b := zodb.Oid(n).Bytes()
	i := 0
	for i < len(b)-1 && b[i] == 0 {
		i++
	}
	return "0x" + hex.EncodeToString(b[i:])
}

// parseHex accepts exactly what formatHex writes.
func parseHex(s string) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) == 0 || len(digits) > 16 {
		return 0, false
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return 0, false
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n, formatHex(n) == s
}
