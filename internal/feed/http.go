package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// HTTP is a sink that posts each transaction as a CloudEvent (version 1.0, structured mode): its id is the tid, so a
// server that keeps the ids it has seen takes each transaction once, also where an answer was lost. The cursor is in a
// file, which is replaced after each batch.
type HTTP struct {
	URL    string
	Source string // of the events: which storage
	Client *http.Client
	Disk   vfs.FS
	File   string // of the cursor
	// Trouble is told why an event was not taken; it is sent again. May be nil.
	Trouble func(error)

	pause func(ctx context.Context, d time.Duration) bool // in tests
}

// eventType is the type of the CloudEvents.
const eventType = "org.zodb.transaction"

// A cloudEvent is the envelope of a document.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// Waits between two attempts.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Cursor is of Sink.
func (s *HTTP) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) {
	text, err := readAll(s.Disk, s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		tid, err = zodb.ParseTid(strings.TrimSpace(string(text)))
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the cursor in %s: %w", s.File, err)
	}
	return tid, true, nil
}

// maxCursor is more than a cursor has.
const maxCursor = 100

func readAll(disk vfs.FS, path string) ([]byte, error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxCursor))
	return text, errors.Join(err, f.Close())
}

// Put is of Sink. It ends when all lines were taken, when one is refused for good, or with ctx.
func (s *HTTP) Put(ctx context.Context, lines []Line) error {
	for _, line := range lines {
		if err := s.post(ctx, line); err != nil {
			return err
		}
	}
	last := lines[len(lines)-1].Tid
	return vfs.WriteFileAtomic(s.Disk, s.File, ".new", func(f vfs.File) error {
		_, err := f.WriteAt([]byte(last.String()+"\n"), 0)
		return err
	})
}

// post sends one event until the server has taken it.
func (s *HTTP) post(ctx context.Context, line Line) error {
	body, err := json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: line.Tid.String(), Source: s.Source, Type: eventType, Time: line.Tid.Time().UTC(),
		DataContentType: "application/json", Data: line.JSON,
	})
	if err != nil {
		return err
	}
	wait := s.pause
	if wait == nil {
		wait = pause.For
	}
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		again, err := s.attempt(ctx, body)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !again:
			return fmt.Errorf("post transaction %v to %s: %w", line.Tid, s.URL, err)
		}
		if s.Trouble != nil {
			s.Trouble(fmt.Errorf("post transaction %v to %s, retrying in %v: %w", line.Tid, s.URL, retry, err))
		}
		wait(ctx, retry)
	}
}

// attempt sends the event once. again says that it may be taken at another time: what the server says of the request
// itself, other than that it is too much or too early, is final.
func (s *HTTP) attempt(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	resp, err := s.Client.Do(req)
	if err != nil {
		return true, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBatch)) // so that the connection is used again
	if err := resp.Body.Close(); err != nil {
		return true, err
	}
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return false, nil
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code == http.StatusTooEarly:
		return true, fmt.Errorf("the server answered %s", resp.Status)
	default:
		return code/100 == 5, fmt.Errorf("the server answered %s", resp.Status)
	}
}
