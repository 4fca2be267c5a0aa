package zeo

import (
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// maxTid asks for the current revision.
const maxTid zodb.Tid = 1<<63 - 1

func idValue(n uint64) pickle.Bytes { return binary.BigEndian.AppendUint64(nil, n) }

func tidValue(tid zodb.Tid) pickle.Bytes { return idValue(uint64(tid)) }
func oidValue(oid zodb.Oid) pickle.Bytes { return idValue(uint64(oid)) }

// tidOrNone is None for 0.
func tidOrNone(tid zodb.Tid) pickle.Value {
	if tid == 0 {
		return nil
	}
	return tidValue(tid)
}

func oidList(oids []zodb.Oid) *pickle.List {
	l := &pickle.List{Items: make([]pickle.Value, len(oids))}
	for i, oid := range oids {
		l.Items[i] = oidValue(oid)
	}
	return l
}

// dict makes a dictionary of keys and values in turn.
func dict(items ...pickle.Value) *pickle.Dict {
	d := &pickle.Dict{Items: make([]pickle.Pair, 0, len(items)/2)}
	for i := 0; i+1 < len(items); i += 2 {
		d.Items = append(d.Items, pickle.Pair{Key: items[i], Value: items[i+1]})
	}
	return d
}

// maxSmall is how many values, or bytes of one, there are in what a client gets back as it came. A pickle can stand for
// gigabytes by mentioning one value more than once.
const maxSmall = 64

// small reports whether v may be sent back to the client that it came from: the ids of calls, of which the largest is a
// pair of oid and tid, and the names of transactions.
func small(v pickle.Value) bool {
	left := maxSmall
	return fits(v, &left)
}

func fits(v pickle.Value, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return true
	case *big.Int:
		return v.BitLen() <= maxSmall
	case string:
		return len(v) <= maxSmall
	case pickle.Bytes:
		return len(v) <= maxSmall
	case pickle.Tuple:
		for _, item := range v {
			if !fits(item, left) {
				return false
			}
		}
		return true
	}
	return false
}

// An argumentError is a TypeError of the client.
type argumentError struct{ text string }

func (e *argumentError) Error() string { return e.text }

// arguments takes those of a call one after the other. The first one that is not what it should be is the error.
type arguments struct {
	method string
	left   pickle.Tuple
	err    error
}

func argumentsOf(method string, v pickle.Value) *arguments {
	a := &arguments{method: method}
	var ok bool
	if a.left, ok = v.(pickle.Tuple); !ok {
		a.wrong("arguments", v)
	}
	return a
}

func (a *arguments) wrong(what string, v pickle.Value) {
	if a.err == nil {
		a.err = &argumentError{fmt.Sprintf("%s(): the %s cannot be a %T", a.method, what, v)}
	}
}

func (a *arguments) next(what string) pickle.Value {
	if a.err == nil && len(a.left) == 0 {
		a.err = &argumentError{fmt.Sprintf("%s(): there is no %s", a.method, what)}
	}
	if a.err != nil {
		return nil
	}
	v := a.left[0]
	a.left = a.left[1:]
	return v
}

// more reports whether there is another argument.
func (a *arguments) more() bool { return a.err == nil && len(a.left) > 0 }

// end makes sure that there is nothing more.
func (a *arguments) end() error {
	if a.more() {
		a.err = &argumentError{fmt.Sprintf("%s(): %d arguments too many", a.method, len(a.left))}
	}
	return a.err
}

// handle takes a client's name for a transaction: a number in all clients there are.
func (a *arguments) handle() pickle.Value {
	v := a.next("transaction")
	if !small(v) {
		a.wrong("transaction", v)
		return nil
	}
	return v
}

func (a *arguments) bytes(what string) []byte {
	switch v := a.next(what).(type) {
	case pickle.Bytes:
		return v
	case string:
		return []byte(v)
	default:
		a.wrong(what, v)
		return nil
	}
}

func (a *arguments) text(what string) string {
	v := a.next(what)
	s, ok := v.(string)
	if !ok {
		a.wrong(what, v)
	}
	return s
}

// id takes an oid or a tid; text of 8 ASCII characters counts, too, since applications write '\0' * 8.
func (a *arguments) id(what string) uint64 {
	v := a.next(what)
	var b []byte
	switch v := v.(type) {
	case pickle.Bytes:
		b = v
	case string:
		b = []byte(v)
	}
	if len(b) != 8 {
		a.wrong(what, v)
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (a *arguments) oid() zodb.Oid { return zodb.Oid(a.id("oid")) }

func (a *arguments) tid(what string) zodb.Tid { return zodb.Tid(a.id(what)) }

// none reports whether the next argument is None, and takes it then.
func (a *arguments) none() bool {
	if a.more() && a.left[0] == nil {
		a.left = a.left[1:]
		return true
	}
	return false
}

// serial takes a tid that may be None, which is 0.
func (a *arguments) serial(what string) zodb.Tid {
	if a.none() {
		return 0
	}
	return a.tid(what)
}

func (a *arguments) bool(what string) bool {
	switch v := a.next(what).(type) {
	case bool:
		return v
	case int64:
		return v != 0
	case nil:
		return false
	default:
		a.wrong(what, v)
		return false
	}
}

func (a *arguments) int(what string) int64 {
	v := a.next(what)
	n, ok := v.(int64)
	if !ok {
		a.wrong(what, v)
	}
	return n
}

func (a *arguments) float(what string) float64 {
	switch v := a.next(what).(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	default:
		a.wrong(what, v)
		return 0
	}
}
