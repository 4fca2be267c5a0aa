package zrs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// The versions.
const (
	V20 = "zrs2.0" // without blobs
	V21 = "zrs2.1" // with blobs
)

// MaxFromSecondary is the longest message that a secondary may send, as zc.zrs has it.
const MaxFromSecondary = 8

// Known reports whether version is one of this protocol.
func Known(version string) bool { return version == V20 || version == V21 }

// ErrChatter says that a secondary has sent something other than keep-alives behind its hello.
var ErrChatter = errors.New("the secondary said something behind its hello, where only keep-alives may come")

// WriteHello sends what a secondary says first: the version, and the last tid that it has, 0 when it has none.
func WriteHello(w io.Writer, version string, last zodb.Tid) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(version)))
	b = append(b, version...)
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("sending the hello: %w", err)
	}
	return nil
}

// ReadStart reads the second half of a hello, behind the version.
func ReadStart(r io.Reader) (zodb.Tid, error) {
	b, err := protocol.ReadSized(r, nil, MaxFromSecondary)
	if err != nil {
		return 0, fmt.Errorf("reading the secondary's last tid: %w", err)
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("the secondary's last tid is %q, not 8 bytes", b)
	}
	return zodb.Tid(binary.BigEndian.Uint64(b)), nil
}

// ReadKeepAlive waits for the next keep-alive of a secondary. Anything else is ErrChatter, found without reading it.
func ReadKeepAlive(r io.Reader) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	if size != [4]byte{} {
		return ErrChatter
	}
	return nil
}

// WriteKeepAlive sends a keep-alive.
func WriteKeepAlive(w io.Writer) error {
	_, err := w.Write(make([]byte, 4))
	return err
}
