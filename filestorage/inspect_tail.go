package filestorage

import (
	"encoding/binary"
	"fmt"
	"io"
)

// tailOrDamage decides about a transaction whose length makes no sense. Usually it is the last one, cut off or blanked by a
// crash, and everything up to it is good: io.EOF. But if the file ends in a second length that leads back to this place, or
// to a whole transaction behind it, then it is the length here that is wrong.
func (in *Inspector) tailOrDamage() error {
	at, err := in.lastWhole()
	switch {
	case err != nil:
		return err
	case at == 0:
		return io.EOF
	}
	return in.corrupt(in.pos+8, fmt.Sprintf("the length of a transaction, since the last one of the file, at %d, is whole", at),
		fmt.Sprint(in.header.Length))
}

// lastWhole returns where the last transaction of the file begins: at in.pos or behind it, 0 when nothing of the kind is seen.
func (in *Inspector) lastWhole() (int64, error) {
	var b [txnHeaderLen]byte
	if err := in.win.peek(b[:lengthLen], in.size-lengthLen); err != nil {
		return 0, err
	}
	length := binary.BigEndian.Uint64(b[:])
	room := uint64(in.size - lengthLen - in.pos)
	switch {
	case length < txnHeaderLen || length > room:
		return 0, nil
	case length == room:
		return in.pos, nil
	}
	at := in.size - lengthLen - int64(length)
	if err := in.win.peek(b[:], at); err != nil {
		return 0, err
	}
	var h txnHeader
	h.decode(b[:])
	if h.Length != length || int64(length) < h.headerLen() || !h.Status.Known() || h.Tid <= in.txn.Meta.Tid {
		return 0, nil
	}
	return at, nil
}
