package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/zrsd/zrsd/internal/service"
)

// maxLine bounds a line of an answer.
const maxLine = 256 << 10

// ErrNoAnswer says that the answer is not that of an admin server.
var ErrNoAnswer = errors.New("the answer is not that of an admin server which knows this command: check that this is " +
	"the --admin address of a zrsd, and its version")

// ErrCut says that the outcome of a pack or a verification is unknown.
var ErrCut = errors.New("the connection ended before the work did: see the server's log")

// A Dialer connects to an admin server.
type Dialer = func(context.Context) (net.Conn, error)

// AskClients gets the document at /clients, as it came and decoded. The error is that of dial, ErrNoAnswer, a *Refusal,
// a *SilentError, or the cause of ctx; so it is for all requests.
func AskClients(ctx context.Context, dial Dialer, storage string) (raw []byte, doc *ClientsDocument, err error) {
	doc = new(ClientsDocument)
	raw, err = document(ctx, dial, "/clients", url.Values{"storage": {storage}}, doc)
	return raw, doc, err
}

// AskUndoLog gets the document at /undo-log, as it came and decoded.
func AskUndoLog(ctx context.Context, dial Dialer, storage string, q UndoQuery) (raw []byte, doc *UndoLogDocument,
	err error) {
	values := q.values()
	values.Set("storage", storage)
	doc = new(UndoLogDocument)
	raw, err = document(ctx, dial, "/undo-log", values, doc)
	return raw, doc, err
}

// AskPack has a storage packed, and returns when that is done. When ctx ends before, the pack is aborted. Each line of
// the answer is told as it came, and with its progress, if it is about that.
func AskPack(ctx context.Context, dial Dialer, storage string, req PackRequest,
	tell func(line []byte, progress *PackProgress) error) (*PackResult, error) {
	return askLong[PackProgress, PackResult](ctx, dial, "/pack", storage, req.values(), tell)
}

// askLong has a command done that takes long, and returns its result. Each line of the answer is told as it came, and
// with its progress, if it is about that.
func askLong[Progress, Result any](ctx context.Context, dial Dialer, path, storage string, values url.Values,
	tell func(line []byte, progress *Progress) error) (*Result, error) {
	values.Set("storage", storage)
	var result *Result
	err := askLines(ctx, dial, path, values, ErrCut, func(raw []byte, line *longLine[Progress, Result]) error {
		if err := tell(raw, line.Progress); err != nil {
			return err
		}
		if line.Error != nil {
			return line.Error
		}
		result = line.Result
		return nil
	})
	if err == nil && result == nil {
		err = ErrCut
	}
	return result, err
}

// progressTo is for askLong, and tells only how far it is.
func progressTo[Progress any](tell func(Progress)) func([]byte, *Progress) error {
	return func(_ []byte, p *Progress) error {
		if p != nil {
			tell(*p)
		}
		return nil
	}
}

// askLines has a command done that answers with JSON lines, and each of them taken. cut is the error when they end
// before their time.
func askLines[Line any](ctx context.Context, dial Dialer, path string, values url.Values, cut error,
	take func(raw []byte, line *Line) error) error {
	return ask(ctx, dial, http.MethodPost, path, values, func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			var line Line
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				return notAdmin(ErrNoAnswer, err)
			}
			if err := take(lines.Bytes(), &line); err != nil {
				return err
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("%w (%w)", cut, err)
		}
		return nil
	})
}

// document gets a document, as it came and decoded into doc.
func document(ctx context.Context, dial Dialer, path string, values url.Values, doc any) (raw []byte, err error) {
	return documentBy(ctx, dial, http.MethodGet, path, values, doc)
}

func documentBy(ctx context.Context, dial Dialer, method, path string, values url.Values, doc any) (raw []byte,
	err error) {
	err = ask(ctx, dial, method, path, values, func(body io.Reader) error {
		if raw, err = io.ReadAll(io.LimitReader(body, maxDocument+1)); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if len(raw) > maxDocument {
			return fmt.Errorf("%w (it is longer than %d bytes)", ErrNoAnswer, maxDocument)
		}
		if err := json.Unmarshal(raw, doc); err != nil {
			return notAdmin(ErrNoAnswer, err)
		}
		return nil
	})
	return raw, err
}

// ask sends one request and has its answer read, on a connection of its own.
func ask(ctx context.Context, dial Dialer, method, path string, values url.Values, read func(io.Reader) error) error {
	return send(ctx, dial, method, path, values, func(resp *http.Response) error {
		if resp.StatusCode == http.StatusOK {
			return read(resp.Body)
		}
		return refusalIn(resp)
	})
}

// send is ask for who reads other answers than those with status 200, too.
func send(ctx context.Context, dial Dialer, method, path string, values url.Values,
	read func(*http.Response) error) (err error) {
	caller := ctx
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer func() {
		var silent *SilentError
		switch {
		case err == nil:
		case caller.Err() != nil:
			err = context.Cause(caller)
		case errors.As(context.Cause(ctx), &silent):
			err = silent
		}
	}()
	if values.Get("storage") == "" {
		values.Del("storage")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+ownHost+path+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	if method != http.MethodGet {
		req.Header.Set(commandHeader, path[1:])
	}
	conn, err := connect(ctx, dial)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)()
	answers := newHeardConn(conn)
	var watching sync.WaitGroup
	watching.Go(func() { answers.watch(ctx, dial, giveUp) })
	defer func() {
		giveUp(nil)
		watching.Wait()
	}()
	resp, err := exchange(answers, req)
	if err != nil {
		return notAdmin(ErrNoAnswer, err)
	}
	defer resp.Body.Close() //nolint:errcheck // everything of use has been read
	return read(resp)
}

// hangUp closes a connection when ctx ends, and at the latest when the function that it returns is called.
func hangUp(ctx context.Context, conn net.Conn) (end func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a later read meets the error
	return func() {
		if stop() {
			_ = conn.Close() // everything of use has been read
		}
	}
}

// exchange sends the only request on a connection and reads the answer up to its body. What is there may speak before
// it is asked, as ZEO servers do: http.Transport complains of that in the log.
func exchange(conn net.Conn, req *http.Request) (*http.Response, error) {
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: conn, N: maxHeader}
	in := bufio.NewReader(bounded)
	if err := checkService(in); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(in, req)
	bounded.N = math.MaxInt64 // who reads the body bounds it
	return resp, err
}

// checkService reports a server of another kind.
func checkService(in *bufio.Reader) error {
	first, err := in.Peek(len("HTTP/1"))
	if err != nil {
		return nil //nolint:nilerr // it comes again
	}
	return service.Check(first, service.WantAdmin)
}

// refusalIn reads why a request was not done.
func refusalIn(resp *http.Response) error {
	var f failure
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err == nil {
		err = json.Unmarshal(answer, &f)
	}
	if err != nil || f.Error == nil {
		return fmt.Errorf("%w (it answered %s)", ErrNoAnswer, statusOf(resp, answer))
	}
	return f.Error
}
