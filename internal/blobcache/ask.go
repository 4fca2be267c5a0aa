package blobcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// ask asks one source after the other, until one has the blob.
func (d *Dir) ask(ctx context.Context, r revision, do func(Source) error) error {
	gone := &zodb.POSKeyError{Oid: r.oid, Tid: r.tid, Blob: true}
	if d.opt.Expect != nil && !d.opt.Expect(r.oid, r.tid) {
		return gone
	}
	var failed []error
	asked := d.sources()
	for _, s := range asked {
		err := d.unlessSilent(s)
		if err == nil {
			err = do(s)
			d.note(ctx, s, err)
		}
		missing := (*zodb.POSKeyError)(nil)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &missing) && s.Keeps():
			continue
		case errors.As(err, &missing):
			err = errors.New("it does not have the blob now")
		}
		failed = append(failed, fmt.Errorf("%v: %w", s, err))
	}
	if len(failed) == 0 && len(asked) > 0 {
		return gone
	}
	return &AwayError{r.oid, r.tid, failed}
}

// failedFor is how long a source is asked after the others that could not be asked, and is not asked at all that did
// not answer.
const failedFor = 10 * time.Second

// A failure is that of a source, when it was asked last.
type failure struct {
	at  time.Time
	err error
}

// isSilence reports whether a source has not answered in its time, and not failed otherwise.
func isSilence(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// sources are the sources, those last that have just failed: who needs a blob that another one has does not wait for
// them.
func (d *Dir) sources() []Source {
	list := slices.Clone(d.opt.Sources())
	d.mu.Lock()
	defer d.mu.Unlock()
	failing := func(s Source) int {
		if time.Since(d.failed[s.String()].at) < failedFor {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b Source) int { return failing(a) - failing(b) })
	return list
}

// A notAskedError says that a source is not asked because it has just not answered.
type notAskedError struct{ failure }

func (e *notAskedError) Error() string {
	return fmt.Sprintf("not asked again for %v, because %v ago it did not answer: %v", failedFor,
		time.Since(e.at).Round(time.Second), e.err)
}

func (e *notAskedError) Unwrap() error { return e.err }

// unlessSilent returns nil for a source that may be asked. Of who needs a blob of one that did not answer, one asks it
// now and then, and the others hear at once that it does not answer: they have a timeout of their own.
func (d *Dir) unlessSilent(s Source) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.failed[s.String()]
	switch {
	case !isSilence(last.err):
		return nil
	case time.Since(last.at) < failedFor:
		return &notAskedError{last}
	}
	last.at = time.Now() // while this one asks, others do not
	d.failed[s.String()] = last
	return nil
}

// note notes what came of asking a source. An answer that there is no blob is one.
func (d *Dir) note(ctx context.Context, s Source, err error) {
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if missing := (*zodb.POSKeyError)(nil); err == nil || errors.As(err, &missing) {
		delete(d.failed, s.String())
		return
	}
	d.failed[s.String()] = failure{time.Now(), err}
}
