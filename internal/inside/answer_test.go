package inside

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// A node sends its answer as JSON: who reads that has the same answer.
func TestAnswersAreTheSameAfterTheirJSON(t *testing.T) {
	for _, q := range []Question{
		{Ask: AskClasses}, {Ask: AskRefs}, {Ask: AskOid, Oid: 7}, {Ask: AskOid, Oid: 7, Tid: 1},
		{Ask: AskText, Text: "Document"}, {Ask: AskPaths, Oids: []zodb.Oid{7, 1 << 40, 0}},
		{Ask: AskUsage, Depth: 2}, {Ask: AskGraph, Depth: 2},
	} {
		q.Limit = 100
		answer, err := Answer(t.Context(), siteFile, q, Options{Yield: true})
		if err != nil {
			t.Fatal(err)
		}
		document, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		again, err := q.DecodeAnswer(document)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(again); err != nil || string(text) != string(document) {
			t.Errorf("%s: %v\n%s\nis not\n%s", q.Ask, err, text, document)
		}
	}
}

// An answer for which nobody waits any more is given up.
func TestAnAnswerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := Question{Ask: AskClasses, Limit: 1}
	_, err := Answer(ctx, siteFile, q, Options{Yield: true, Progress: func(_, _ int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
