package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Limits on what lists of undoable transactions may cost: a rare text is looked for in the whole file.
const (
	maxListings    = 4 // at a time
	listingTimeout = 20 * time.Second
)

// commands answers the paths of a Control.
type commands struct {
	control  Control
	listings chan struct{}
	feeds    chan struct{}
	inside   chan struct{}
}

func (c *commands) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /clients", c.clients)
	mux.HandleFunc("GET /undo-log", c.undoLog)
	mux.HandleFunc("POST /pack", c.pack)
	mux.HandleFunc("POST /verify", c.verify)
	mux.HandleFunc("POST /heal", c.heal)
	mux.HandleFunc("POST /"+applyUntilCommand, c.applyUntil)
	mux.HandleFunc("POST /"+feedCommand, c.feed)
	mux.HandleFunc("POST /"+auditCommand, c.auditBlobs)
	mux.HandleFunc("POST /"+statsCommand, c.countBlobs)
	mux.HandleFunc("POST /"+convertCommand, c.convertBlobs)
	mux.HandleFunc("POST /"+insideCommand, c.askInside)
	for command, do := range c.changes() {
		mux.HandleFunc("POST /"+command, c.serveChange(command, do))
	}
}

// ClientsDocument is the document at /clients.
type ClientsDocument struct {
	Clients []Client `json:"clients"`
}

func (c *commands) clients(w http.ResponseWriter, r *http.Request) {
	list, err := c.control.Clients(r.URL.Query().Get("storage"))
	if list == nil {
		list = []Client{}
	}
	answer(w, ClientsDocument{list}, err)
}

// UndoLogDocument is the document at /undo-log.
type UndoLogDocument struct {
	Transactions []UndoEntry `json:"transactions"`
}

func (c *commands) undoLog(w http.ResponseWriter, r *http.Request) {
	select {
	case c.listings <- struct{}{}:
		defer func() { <-c.listings }()
	default:
		answer(w, nil, &Refusal{Busy, "too many requests of this kind at once: try again"})
		return
	}
	values := r.URL.Query()
	q, err := undoQuery(values)
	if err != nil {
		answer(w, nil, err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), listingTimeout,
		&Refusal{Failed, fmt.Sprintf("not found within %v: ask for less", listingTimeout)})
	defer cancel()
	list, err := c.control.UndoLog(ctx, values.Get("storage"), q)
	if list == nil {
		list = []UndoEntry{}
	}
	answer(w, UndoLogDocument{list}, err)
}

// undoQuery reads an UndoQuery as values writes it.
func undoQuery(values url.Values) (q UndoQuery, err error) {
	q = UndoQuery{
		Count: 20, User: values.Get("user"), Description: values.Get("description"),
		Received: values.Get("received") == "true",
	}
	number := func(name string, least, most int, into *int) {
		text := values.Get(name)
		if text == "" {
			return
		}
		n, e := strconv.Atoi(text)
		if e != nil || n < least || n > most {
			err = errors.Join(err, &Refusal{Invalid, fmt.Sprintf("%s %.20q: give a number from %d to %d", name, text,
				least, most)})
			return
		}
		*into = n
	}
	number("first", 0, MaxUndoFirst, &q.First)
	number("count", 1, MaxUndoCount, &q.Count)
	return q, err
}

func (q *UndoQuery) values() url.Values {
	return url.Values{
		"first": {strconv.Itoa(q.First)}, "count": {strconv.Itoa(q.Count)},
		"user": {q.User}, "description": {q.Description}, "received": {strconv.FormatBool(q.Received)},
	}
}

// A failure is what is answered instead of a document.
type failure struct {
	Error *Refusal `json:"error"`
}

// refusalOf returns the answer for an error.
func refusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return &Refusal{Failed, err.Error()}
}

var httpCodes = map[Reason]int{
	NoStorage: http.StatusNotFound, Invalid: http.StatusBadRequest, NotAllowed: http.StatusForbidden,
	Busy: http.StatusConflict, Unsafe: http.StatusConflict,
	Unavailable: http.StatusServiceUnavailable, Failed: http.StatusInternalServerError,
}

// asked reads what is asked for by a command, and of which storage. What is not permitted, or cannot be read, is
// answered, and not ok.
func asked[Q any](w http.ResponseWriter, r *http.Request, command string, read func(url.Values) (Q, error)) (
	q Q, storage string, ok bool) {
	if refusal := permit(r, command); refusal != nil {
		answer(w, nil, refusal)
		return q, "", false
	}
	values := r.URL.Query()
	q, err := read(values)
	if err != nil {
		answer(w, nil, err)
		return q, "", false
	}
	return q, values.Get("storage"), true
}

// answer writes a document, or the error when there is one.
func answer(w http.ResponseWriter, document any, err error) {
	code := http.StatusOK
	if err != nil {
		refusal := refusalOf(err)
		document, code = failure{refusal}, httpCodes[refusal.Reason]
	}
	body, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		writeText(w, http.StatusInternalServerError, fmt.Sprintf("the answer cannot be written as JSON: %v", err))
		return
	}
	write(w, code, "application/json", append(body, '\n'))
}
