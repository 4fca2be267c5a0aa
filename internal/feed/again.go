package feed

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zodb"
)

// A log is a place that keeps the cursor with the data, and that can be asked where it is.
type log interface {
	publish(ctx context.Context, lines []Line) error // on an error it may have some of them, from the first on
	resume(ctx context.Context) error                // asks for the position
	position() zodb.Tid                              // of the last transaction that it is known to have; 0: none
	fmt.Stringer
}

// errFinal is what no other attempt changes.
var errFinal = errors.New("cannot be continued")

// publishAll ends when a log has all lines, when it has something else, or with ctx. After any trouble it asks the log
// where it is, and goes on from there. trouble is told why something is tried again.
func publishAll(ctx context.Context, to log, lines []Line, trouble func(error)) error {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := to.publish(ctx, lines)
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		trouble(fmt.Errorf("publish to %v, asking it where it is: %w", to, err))
		before := to.position()
		for err = to.resume(ctx); err != nil; err = to.resume(ctx) {
			if errors.Is(err, errFinal) {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			trouble(fmt.Errorf("ask %v, trying again in %v: %w", to, retry, err))
			pause.For(ctx, retry)
			retry = min(2*retry, lastRetry)
		}
		if lines, err = rest(to, before, lines); err != nil || len(lines) == 0 {
			return err
		}
		if to.position() == before { // it answers, and takes nothing
			pause.For(ctx, retry)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		} else {
			retry = firstRetry
		}
	}
}

// rest returns the lines that a log does not have yet.
func rest(of log, before zodb.Tid, lines []Line) ([]Line, error) {
	if of.position() == before {
		return lines, nil
	}
	for i := range lines {
		if lines[i].Tid == of.position() {
			return lines[i+1:], nil
		}
	}
	return nil, fmt.Errorf("%v %w: the last transaction there is %v, which this feed has not published: is there "+
		"another feed? Each needs a place of its own", of, errFinal, of.position())
}
