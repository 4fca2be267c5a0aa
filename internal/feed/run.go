package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// A Line is a document as it goes to a sink: JSON in one line, with the line feed.
type Line struct {
	Tid  zodb.Tid
	JSON []byte
}

// A Sink takes documents durably.
type Sink interface {
	// Cursor returns the last transaction that the sink has; ok is false where it has none yet.
	Cursor(ctx context.Context) (tid zodb.Tid, ok bool, err error)
	// Put returns when the lines are durable, all of them or, on an error, none or some from the first on.
	Put(ctx context.Context, lines []Line) error
}

// A Source yields the documents after a transaction. Next blocks until there is one, and returns io.EOF at the end.
// Pending reports whether Next would return at once.
type Source interface {
	Next(ctx context.Context) (Line, error)
	Pending() bool
}

// maxBatch is how many bytes are put at once, but for a document that is larger.
const maxBatch = 1 << 20

// Run moves documents from a source to a sink until the source ends. put is called after each batch with its last
// transaction; it may be nil.
func Run(ctx context.Context, from Source, to Sink, put func(zodb.Tid)) error {
	var batch []Line
	for {
		size := 0
		batch = batch[:0]
		line, err := from.Next(ctx)
		for err == nil {
			batch = append(batch, line)
			if size += len(line.JSON); size >= maxBatch || !from.Pending() {
				break
			}
			line, err = from.Next(ctx)
		}
		if len(batch) > 0 {
			if err := to.Put(ctx, batch); err != nil {
				return err
			}
			if put != nil {
				put(batch[len(batch)-1].Tid)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// An iteration is the Source of a storage in this process.
type iteration struct {
	it  zodb.Iterator
	opt Options
}

// FromIterator returns the source of what an iterator returns.
func FromIterator(it zodb.Iterator, opt Options) Source { return &iteration{it, opt} }

// Next is of Source.
func (s *iteration) Next(ctx context.Context) (Line, error) {
	for {
		txn, err := s.it.Next(ctx)
		if err != nil {
			return Line{}, err
		}
		doc, ok, err := s.opt.Read(ctx, txn)
		if err != nil {
			return Line{}, err
		}
		if !ok {
			continue
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return Line{}, fmt.Errorf("transaction %v as JSON: %w", doc.Tid, err)
		}
		return Line{doc.Tid, append(text, '\n')}, nil
	}
}

// Pending is of Source.
func (s *iteration) Pending() bool { return s.it.Pending() }
