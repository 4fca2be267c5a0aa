package secondary

import (
	"bytes"

	"github.com/zrsd/zrsd/protocol"
)

// laneAhead is how many parts are asked for on one stream before the first of them has arrived: at most half a window
// of the longest links, so that the window, of which yamux gives back a half at a time, never stops the sender.
const laneAhead = 8

// A lane is one stream on which parts of the data file come, from the primary, or from a copy where the primary
// confirms that they are right.
type lane struct {
	stream *protocol.RangeStream
	parts  *partQueue
	head   *protocol.RangesHead // nil: it has not been received

	asked []*protocol.RangeRequest // whose answers are on their way
	begin []byte                   // how the copy begins, where that is not as the primary's file does
}

// run asks for parts and puts them in when they are verified, until there are no more.
func (f *lane) run() error {
	if _, err := f.receiveHead(); err != nil {
		return err
	}
	for {
		if err := f.ask(len(f.asked) == 0); err != nil {
			return err
		}
		if len(f.asked) == 0 {
			return nil
		}
		if err := f.receive(); err != nil {
			return err
		}
	}
}

// receiveHead waits for the answer to the header, once.
func (f *lane) receiveHead() (_ *protocol.RangesHead, err error) {
	if f.head == nil {
		f.head, err = f.stream.ReceiveHead()
	}
	return f.head, err
}

// askAll asks for the first parts, one on each stream in turn: answers come on all of them at a time, and what is the
// first one of each stream is all that can arrive before its turn.
func askAll(lanes []*lane) error {
	for range laneAhead {
		for _, f := range lanes {
			if err := f.more(1, false); err != nil {
				return err
			}
		}
	}
	for _, f := range lanes {
		if err := f.stream.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// ask asks for parts ahead, as askAll does: with each answer that has come, for one and one more. Where none is on its
// way, it may wait until there is one to ask for.
func (f *lane) ask(wait bool) error {
	if err := f.more(2, wait); err != nil {
		return err
	}
	return f.stream.Flush()
}

// more asks for so many parts, as far as there are any now and the stream has room for them.
func (f *lane) more(n int, wait bool) error {
	for range min(n, laneAhead-len(f.asked)) {
		r := f.parts.deal(wait && len(f.asked) == 0)
		if r == nil {
			return nil
		}
		if err := f.again(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *lane) again(r *protocol.RangeRequest) error {
	f.asked = append(f.asked, r)
	return f.stream.Request(r)
}

// receive takes the next answer. A part in which the copy differs is asked for again.
func (f *lane) receive() error {
	r := f.asked[0]
	f.asked = f.asked[1:]
	buf := f.parts.room()
	if !r.Bare {
		data, err := f.stream.ReceiveRange(r, buf)
		if err != nil {
			return err
		}
		if r.From == magicLen && !bytes.HasPrefix(data, f.begin) {
			return otherHistory(f.begin, data)
		}
		f.parts.put(r.From, data)
		return nil
	}
	from := f.parts.copy
	have := from.read(r, buf)
	same, err := f.stream.CompareRange(r, have)
	switch {
	case err != nil:
		return err
	case same:
		from.taken.Add(r.Length)
		f.parts.put(r.From, have)
		return nil
	case from.has(r.From): // it has not been given up
		from.differs.Add(1)
	}
	if r.From == magicLen {
		f.begin = bytes.Clone(have[:min(len(have), 8)]) // the tid of the first transaction
	}
	f.parts.giveBack(have)
	return f.again(&protocol.RangeRequest{From: r.From, Length: r.Length})
}

// magicLen is where the first transaction begins.
const magicLen = 4
