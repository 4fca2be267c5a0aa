package client

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// errReply says that the server's words are not those of the protocol.
var errReply = errors.New("not what protocol 5 has here")

func idValue[T zodb.Oid | zodb.Tid](n T) pickle.Bytes {
	return binary.BigEndian.AppendUint64(nil, uint64(n))
}

func idOf(v pickle.Value) (uint64, error) {
	b, ok := v.(pickle.Bytes)
	if !ok || len(b) != 8 {
		return 0, fmt.Errorf("a %T where an oid or tid should be: %w", v, errReply)
	}
	return binary.BigEndian.Uint64(b), nil
}

func tidOf(v pickle.Value) (zodb.Tid, error) {
	n, err := idOf(v)
	return zodb.Tid(n), err
}

// items returns those of a list, which the encoding M has as a tuple.
func items(v pickle.Value) ([]pickle.Value, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case pickle.Tuple:
		return v, nil
	case *pickle.List:
		return v.Items, nil
	}
	return nil, fmt.Errorf("a %T where a list should be: %w", v, errReply)
}

func oidsOf(v pickle.Value) ([]zodb.Oid, error) {
	list, err := items(v)
	if err != nil {
		return nil, err
	}
	oids := make([]zodb.Oid, len(list))
	for i, v := range list {
		n, err := idOf(v)
		if err != nil {
			return nil, err
		}
		oids[i] = zodb.Oid(n)
	}
	return oids, nil
}

// item returns what a dictionary has for a key, nil for nothing.
func item(d *pickle.Dict, key string) pickle.Value {
	for _, p := range d.Items {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}
