package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/zodb"
)

const feedCommand = "feed"

// Limits of feeds.
const (
	maxFeeds     = 16               // at a time
	maxDocuments = 256 << 20        // bytes of one document
	feedStall    = 30 * time.Second // for which a reader may take nothing
	feedBuffer   = 256 << 10        // bytes that are read together
)

// A FeedQuery asks for the transactions after one, as documents of package feed.
type FeedQuery struct {
	After  zodb.Tid
	Latest bool // instead: after the last one that there is
	Follow bool // wait at the end for more
	Exact  bool // After is a cursor: a transaction that must be in the history
	feed.Options
}

func (q *FeedQuery) values() url.Values {
	return url.Values{
		"after": {q.After.String()}, "latest": {strconv.FormatBool(q.Latest)}, "follow": {strconv.FormatBool(q.Follow)},
		"states": {strconv.FormatBool(q.States)}, "exact": {strconv.FormatBool(q.Exact)}, "class": q.Classes,
		"paths": {strconv.FormatBool(q.Paths)},
	}
}

func feedQuery(values url.Values) (q FeedQuery, err error) {
	if q.After, err = zodb.ParseTid(values.Get("after")); err != nil {
		return q, &Refusal{Invalid, fmt.Sprintf("after: %v", err)}
	}
	q.Classes = values["class"]
	if err := q.Classes.Check(); err != nil {
		return q, &Refusal{Invalid, err.Error()}
	}
	q.Latest, q.Follow = values.Get("latest") == "true", values.Get("follow") == "true"
	q.States, q.Exact = values.Get("states") == "true", values.Get("exact") == "true"
	q.Paths = values.Get("paths") == "true"
	return q, nil
}

// A feedEnd is the last line of a feed that does not follow, or that cannot go on; no document has its keys.
type feedEnd struct {
	End   bool     `json:"end"`
	Error *Refusal `json:"error,omitempty"`
}

// feed answers with documents, one in a line, an empty line now and then while there is none, and a feedEnd. It reads
// no further than what its reader takes.
func (c *commands) feed(w http.ResponseWriter, r *http.Request) {
	q, storage, ok := asked(w, r, feedCommand, feedQuery)
	if !ok {
		return
	}
	select {
	case c.feeds <- struct{}{}:
		defer func() { <-c.feeds }()
	default:
		answer(w, nil, &Refusal{Busy, fmt.Sprintf("there are %d feeds already: end one", maxFeeds)})
		return
	}
	out := &feedWriter{w: w, control: http.NewResponseController(w)}
	err := c.control.Feed(r.Context(), storage, q, out)
	if !out.begun && err != nil {
		answer(w, nil, err)
		return
	}
	end := feedEnd{End: true}
	if err != nil {
		end.Error = refusalOf(err)
	}
	line, _ := json.Marshal(end) // it always can
	_ = out.Put(r.Context(), []feed.Line{{JSON: append(line, '\n')}})
}

// A feedWriter is the sink of an answer.
type feedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Cursor is of feed.Sink.
func (f *feedWriter) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) { return 0, false, nil }

// Put is of feed.Sink.
func (f *feedWriter) Put(_ context.Context, lines []feed.Line) error {
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if err := f.control.SetWriteDeadline(time.Now().Add(feedStall)); err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := f.w.Write(line.JSON); err != nil {
			return err
		}
	}
	return f.control.Flush()
}

// Idle tells the reader that all is well while nothing is committed.
func (f *feedWriter) Idle(ctx context.Context) error {
	return f.Put(ctx, []feed.Line{{JSON: []byte{'\n'}}})
}

// A FeedSink is where a Control puts a feed.
type FeedSink interface {
	feed.Sink
	// Idle is called every now and then while there is nothing to put.
	Idle(ctx context.Context) error
}

// AskFeed has take called with the source of a node's feed. The end of the source is io.EOF, where the feed does not
// follow.
func AskFeed(ctx context.Context, dial Dialer, storage string, q FeedQuery, take func(feed.Source) error) error {
	values := q.values()
	values.Set("storage", storage)
	return ask(ctx, dial, http.MethodPost, "/"+feedCommand, values, func(body io.Reader) error {
		return take(&feedReader{in: bufio.NewReaderSize(body, feedBuffer)})
	})
}

// A feedReader is the source of an answer.
type feedReader struct{ in *bufio.Reader }

// Pending is of feed.Source.
func (f *feedReader) Pending() bool {
	waiting, _ := f.in.Peek(f.in.Buffered())
	return bytes.IndexByte(waiting, '\n') > 0
}

// Next is of feed.Source.
func (f *feedReader) Next(ctx context.Context) (feed.Line, error) {
	for {
		text, err := f.line()
		if ctx.Err() != nil {
			return feed.Line{}, context.Cause(ctx)
		}
		if err != nil {
			return feed.Line{}, fmt.Errorf("%w (%w)", ErrCut, err)
		}
		if len(text) == 1 {
			continue
		}
		var line struct {
			feedEnd
			Tid *zodb.Tid `json:"tid"`
		}
		switch err := json.Unmarshal(text, &line); {
		case err != nil:
			return feed.Line{}, notAdmin(ErrNoAnswer, err)
		case line.Error != nil:
			return feed.Line{}, line.Error
		case line.End:
			return feed.Line{}, io.EOF
		case line.Tid == nil:
			return feed.Line{}, fmt.Errorf("%w (a line without a tid)", ErrNoAnswer)
		}
		return feed.Line{Tid: *line.Tid, JSON: text}, nil
	}
}

// line returns the next line, as a copy.
func (f *feedReader) line() (text []byte, err error) {
	for {
		part, err := f.in.ReadSlice('\n')
		if text = append(text, part...); !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
		if len(text) > maxDocuments {
			return nil, fmt.Errorf("a document is longer than %d bytes", maxDocuments)
		}
	}
}
