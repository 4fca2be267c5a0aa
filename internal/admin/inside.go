package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

const insideCommand = "inside"

// Limits of questions about what is inside.
const (
	maxInside     = 1         // at a time
	maxAnswer     = 64 << 20  // bytes of an answer
	answerPart    = 128 << 10 // bytes of it in a line
	maxInsideText = 1000      // bytes of what is looked for
)

// An insideLine is one line of the answer to POST /inside. Exactly one member is there. The answer is the JSON document
// that the parts make together; after the last one, or instead of them, comes the end or an error.
type insideLine struct {
	Progress *VerifyProgress `json:"progress,omitempty"`
	Part     []byte          `json:"part,omitempty"`
	End      bool            `json:"end,omitempty"`
	Error    *Refusal        `json:"error,omitempty"`
}

// beginInside takes the turn of a question about what is inside: one is answered at a time, others are told so.
// endInside gives it back.
func (c *commands) beginInside(w http.ResponseWriter) bool {
	select {
	case c.inside <- struct{}{}:
		return true
	default:
		answer(w, nil, &Refusal{Busy, "another question about what is inside is being answered: try again"})
		return false
	}
}

func (c *commands) endInside() { <-c.inside }

// askInside answers a question about what is in a storage, for as long as somebody waits for it.
func (c *commands) askInside(w http.ResponseWriter, r *http.Request) {
	q, storage, ok := asked(w, r, insideCommand, insideQuestion)
	if !ok {
		return
	}
	if !c.beginInside(w) {
		return
	}
	defer c.endInside()
	doLong(w, r, insideCommand, func(ctx context.Context, progress func(VerifyProgress)) ([]byte, error) {
		found, err := c.control.Inside(ctx, storage, q, progress)
		if errors.Is(err, inside.ErrQuestion) {
			err = &Refusal{Invalid, err.Error()}
		}
		if err != nil {
			return nil, err
		}
		document, err := json.Marshal(found)
		if err == nil && len(document) > maxAnswer {
			err = &Refusal{Invalid, fmt.Sprintf("the answer has more than %d bytes: give a smaller limit", maxAnswer)}
		}
		return document, err
	}, writeParts)
}

// writeParts writes an answer, until its reader disconnects.
func writeParts(out *lineWriter, document []byte) {
	for part := range slices.Chunk(document, answerPart) {
		if out.write(insideLine{Part: part}) != nil {
			return
		}
	}
	_ = out.write(insideLine{End: true}) // else the client has disconnected
}

// insideQuestion reads a question as insideValues writes it.
func insideQuestion(values url.Values) (q inside.Question, err error) {
	q.Ask, q.Text = values.Get("ask"), values.Get("text")
	if len(q.Text) > maxInsideText {
		return q, &Refusal{Invalid, fmt.Sprintf("text: give at most %d bytes", maxInsideText)}
	}
	var errs [5]error
	q.Oids, errs[4] = parseOids(values.Get("oids"))
	q.Oid, errs[0] = zodb.ParseOid(values.Get("oid"))
	q.Tid, errs[1] = zodb.ParseTid(values.Get("tid"))
	q.Limit, errs[2] = strconv.Atoi(values.Get("limit"))
	q.Depth, errs[3] = strconv.Atoi(values.Get("depth"))
	if err := errors.Join(errs[:]...); err != nil {
		return q, &Refusal{Invalid, fmt.Sprintf("not a question: give ask, oid, tid, text, limit and depth, and for "+
			"paths oids: %v", err)}
	}
	return q, nil
}

// parseOids reads oids as oidsText writes them; none where there are none.
func parseOids(text string) (oids []zodb.Oid, err error) {
	if text == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		oid, err := zodb.ParseOid(one)
		if err != nil {
			return nil, err
		}
		oids = append(oids, oid)
	}
	return oids, nil
}

func oidsText(oids []zodb.Oid) string {
	var list []string
	for _, oid := range oids {
		list = append(list, oid.String())
	}
	return strings.Join(list, ",")
}

func insideValues(q *inside.Question) url.Values {
	return url.Values{"ask": {q.Ask}, "oids": {oidsText(q.Oids)}, "oid": {q.Oid.String()},
		"tid": {q.Tid.String()}, "text": {q.Text},
		"limit": {strconv.Itoa(q.Limit)}, "depth": {strconv.Itoa(q.Depth)}}
}

// AskInside has a node answer a question about what is in a storage, and returns the JSON document. The answer ends
// when ctx does.
func AskInside(ctx context.Context, dial Dialer, storage string, q *inside.Question, tell func(VerifyProgress)) (
	document []byte, err error) {
	values := insideValues(q)
	values.Set("storage", storage)
	ended := false
	err = askLines(ctx, dial, "/"+insideCommand, values, ErrCut, func(_ []byte, line *insideLine) error {
		switch {
		case line.Error != nil:
			return line.Error
		case line.Progress != nil:
			tell(*line.Progress)
		case len(document)+len(line.Part) > maxAnswer:
			return fmt.Errorf("%w (it is longer than %d bytes)", ErrNoAnswer, maxAnswer)
		}
		document = append(document, line.Part...)
		ended = line.End
		return nil
	})
	if err == nil && !ended {
		err = ErrCut
	}
	return document, err
}
