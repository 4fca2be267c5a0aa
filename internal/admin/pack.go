package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	packCommand = "pack"
	// progressEvery is the least time between two lines about a pack that continues. They are also how the server
	// notices a client that is gone without a word.
	progressEvery = 200 * time.Millisecond
)

// A longLine is one line of the answer to what takes long: POST /pack and POST /verify. Exactly one member is there.
// The last line is a result or an error.
type longLine[P, R any] struct {
	Progress *P       `json:"progress,omitempty"`
	Result   *R       `json:"result,omitempty"`
	Error    *Refusal `json:"error,omitempty"`
}

// pack runs a pack for as long as somebody waits for it.
func (c *commands) pack(w http.ResponseWriter, r *http.Request) {
	req, storage, ok := asked(w, r, packCommand, packRequest)
	if !ok {
		return
	}
	answerLong(w, r, packCommand, func(ctx context.Context, progress func(PackProgress)) (PackResult, error) {
		return c.control.Pack(ctx, storage, req, progress)
	})
}

// answerLong has something done for as long as somebody waits for it, and answers with lines.
func answerLong[P, R any](w http.ResponseWriter, r *http.Request, what string,
	do func(ctx context.Context, progress func(P)) (R, error)) {
	doLong(w, r, what, do, func(out *lineWriter, result R) {
		_ = out.write(longLine[P, R]{Result: &result}) // else the client has disconnected
	})
}

// doLong is answerLong with a result that is written by tell.
func doLong[P, R any](w http.ResponseWriter, r *http.Request, what string,
	do func(ctx context.Context, progress func(P)) (R, error), tell func(*lineWriter, R)) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := &lineWriter{w: w, control: http.NewResponseController(w)}
	if err := out.begin(); err != nil {
		return // the client has disconnected
	}
	var latest atomic.Pointer[P]
	var result R
	done := make(chan error, 1)
	go func() {
		var err error
		result, err = do(ctx, func(p P) { latest.Store(&p) })
		done <- err
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err == nil {
				tell(out, result)
				return
			}
			_ = out.write(longLine[P, R]{Error: refusalOf(err)}) // else the client has disconnected
			return
		case <-tick.C:
			if p := latest.Swap(nil); p != nil {
				if err := out.write(longLine[P, R]{Progress: p}); err != nil {
					cancel(fmt.Errorf("the client that asked for the %s has disconnected: %w", what, err))
				}
			}
		}
	}
}

// packRequest reads a PackRequest as values writes it.
func packRequest(values url.Values) (req PackRequest, err error) {
	if text := values.Get("until"); text != "" {
		until, err := time.Parse(time.RFC3339Nano, text)
		req.Until = until.UTC()
		if year := req.Until.Year(); err != nil || year < 0 || year > 9999 {
			return req, &Refusal{Invalid, fmt.Sprintf("until %.40q: give a time such as 2026-01-31T23:59:00Z", text)}
		}
	}
	for name, into := range map[string]**bool{"gc": &req.GC, "keep_old": &req.KeepOld} {
		if text := values.Get(name); text != "" {
			yes, e := strconv.ParseBool(text)
			if e != nil {
				err = errors.Join(err, &Refusal{Invalid, fmt.Sprintf("%s %.20q: give true or false", name, text)})
			}
			*into = &yes
		}
	}
	if text := values.Get("copy_damage"); text != "" {
		yes, e := strconv.ParseBool(text)
		if e != nil {
			err = errors.Join(err, &Refusal{Invalid, fmt.Sprintf("copy_damage %.20q: give true or false", text)})
		}
		req.CopyDamage = yes
	}
	return req, err
}

func (req *PackRequest) values() url.Values {
	values := url.Values{}
	if !req.Until.IsZero() {
		values.Set("until", req.Until.UTC().Format(time.RFC3339Nano))
	}
	for name, b := range map[string]*bool{"gc": req.GC, "keep_old": req.KeepOld} {
		if b != nil {
			values.Set(name, strconv.FormatBool(*b))
		}
	}
	if req.CopyDamage {
		values.Set("copy_damage", "true")
	}
	return values
}

// A lineWriter writes JSON lines of an answer that takes as long as it takes.
type lineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// begin lifts the limits for whole requests, and says that there will be lines. Without a limit for reading, the
// request's context ends with the connection and not before.
func (l *lineWriter) begin() error {
	if err := errors.Join(l.control.SetReadDeadline(time.Time{}), l.control.SetWriteDeadline(time.Time{})); err != nil {
		return err
	}
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	l.w.Header().Set("X-Content-Type-Options", "nosniff")
	l.w.Header().Set("Cache-Control", "no-store")
	return l.control.Flush()
}

func (l *lineWriter) write(line any) error {
	body, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if err := l.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(body, '\n')); err != nil {
		return err
	}
	return l.control.Flush()
}
