package zrs

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// The versions.
const (
	V20 = "zrs2.0" // without blobs
	V21 = "zrs2.1" // with blobs
)

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

// WriteKeepAlive sends a keep-alive.
func WriteKeepAlive(w io.Writer) error {
	_, err := w.Write(make([]byte, 4))
	return err
}
