package feed

import (
	"context"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// A Writer is a sink without a cursor: who reads it keeps the tid of the last line that it has dealt with.
type Writer struct{ To io.Writer }

// Cursor is of Sink.
func (w Writer) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) { return 0, false, nil }

// Put is of Sink.
func (w Writer) Put(_ context.Context, lines []Line) error {
	for _, line := range lines {
		if _, err := w.To.Write(line.JSON); err != nil {
			return err
		}
	}
	return nil
}
