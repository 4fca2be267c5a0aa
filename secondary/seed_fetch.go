package secondary

import (
	"bytes"
	"context"

	"github.com/zrsd/zrsd/protocol"
)

// A fetcher gets the parts of the data file, in the order of the file, from the primary, or from a copy where the
// primary confirms that it is right.
type fetcher struct {
	l    *seedLink
	copy *SeedCopy // nil: none

	asked []*protocol.RangeRequest // whose answers are on their way: all are Bare, or none
	next  int64                    // of the next request
	full  int64                    // what is before it is not taken from the copy
	begin []byte                   // how the copy begins, where that is not as the primary's file does
}

// run passes on each part when it is verified.
func (f *fetcher) run(ctx context.Context, parts chan<- []byte, free <-chan []byte) error {
	f.next = f.l.from
	for got := f.l.from; got < f.l.end; {
		if err := f.ask(); err != nil {
			return err
		}
		var buf []byte
		select {
		case buf = <-free:
		default:
		}
		data, err := f.receive(buf)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		select {
		case parts <- data:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		got += int64(len(data))
	}
	return nil
}

// ask asks for parts ahead. Those that the copy should have are not mixed with others: where they differ, what was
// asked for after them is asked for again.
func (f *fetcher) ask() error {
	for f.next < f.l.end && len(f.asked) < seedAhead {
		r := &protocol.RangeRequest{From: f.next, Length: min(seedPart, f.l.end-f.next)}
		if f.next >= f.full && f.copy.has(f.next) {
			r.Bare, r.Length = true, min(r.Length, f.copy.Size-f.next)
		}
		if len(f.asked) > 0 && f.asked[0].Bare != r.Bare {
			break
		}
		if err := f.l.stream.Request(r); err != nil {
			return err
		}
		f.asked = append(f.asked, r)
		f.next += r.Length
	}
	return f.l.stream.Flush()
}

// receive returns the next part, or nothing where the copy's differs: then it is asked for again.
func (f *fetcher) receive(buf []byte) ([]byte, error) {
	r := f.asked[0]
	f.asked = f.asked[1:]
	if !r.Bare {
		data, err := f.l.stream.ReceiveRange(r, buf)
		if err == nil && len(f.begin) > 0 && !bytes.HasPrefix(data, f.begin) {
			err = otherHistory(f.begin, data)
		}
		f.begin = nil
		return data, err
	}
	have := f.copy.read(r, buf)
	same, err := f.l.stream.CompareRange(r, have)
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, f.differs(r, have)
	}
	f.copy.taken.Add(r.Length)
	return have, nil
}

// magicLen is where the first transaction begins.
const magicLen = 4

// differs has a part asked for that is not as in the copy, and what comes after it.
func (f *fetcher) differs(r *protocol.RangeRequest, have []byte) error {
	f.copy.differs.Add(1)
	for _, later := range f.asked {
		if _, err := f.l.stream.CompareRange(later, nil); err != nil {
			return err
		}
	}
	f.asked, f.next, f.full = nil, r.From, r.From+r.Length
	if r.From == magicLen {
		f.begin = bytes.Clone(have[:min(len(have), 8)]) // the tid of the first transaction
	}
	return nil
}
