package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

func ignoreProgress(admin.VerifyProgress) {}

// An answer of many lines arrives as it is, and the question as it was asked.
func TestALongAnswerComesInParts(t *testing.T) {
	question := inside.Question{Ask: inside.AskText, Oid: 1, Tid: 2, Text: "käse & brot", Limit: 3, Depth: 4}
	for oid := range zodb.Oid(inside.MaxOids) {
		question.Oids = append(question.Oids, ^oid)
	}
	long := strings.Repeat("<ä>", 300_000)
	var got inside.Question
	c := &controls{inside: func(_ context.Context, q inside.Question) (any, error) {
		got = q
		return []string{long}, nil
	}}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	document, err := admin.AskInside(t.Context(), dial, "main", &question, ignoreProgress)
	var answer []string
	if err == nil {
		err = json.Unmarshal(document, &answer)
	}
	if err != nil || len(answer) != 1 || answer[0] != long || c.storage != "main" {
		t.Errorf("%v, %d bytes of %q", err, len(document), c.storage)
	}
	if diff := cmp.Diff(question, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func reasonOf(err error) admin.Reason {
	var refusal *admin.Refusal
	if !errors.As(err, &refusal) {
		return ""
	}
	return refusal.Reason
}

// What cannot be answered is refused with a reason.
func TestQuestionsThatCannotBeAnsweredAreRefused(t *testing.T) {
	c := &controls{}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	for name, one := range map[string]struct {
		answer any
		err    error
		text   string
		want   admin.Reason
	}{
		"no question":    {err: inside.ErrQuestion, want: admin.Invalid},
		"closed":         {err: &admin.Refusal{Reason: admin.Unavailable, Text: "not open"}, want: admin.Unavailable},
		"too long":       {answer: strings.Repeat("x", 65<<20), want: admin.Invalid},
		"much to search": {text: strings.Repeat("x", 2000), want: admin.Invalid},
	} {
		c.inside = func(context.Context, inside.Question) (any, error) { return one.answer, one.err }
		q := inside.Question{Ask: inside.AskText, Text: one.text, Limit: 1}
		if _, err := admin.AskInside(t.Context(), dial, "", &q, ignoreProgress); reasonOf(err) != one.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One question is answered at a time. It ends when who asked it goes, and then there is room for the next one.
func TestAQuestionEndsWhenWhoAskedItGoes(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	c := &controls{inside: func(ctx context.Context, q inside.Question) (any, error) {
		if q.Ask != inside.AskClasses {
			return "an answer", nil
		}
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}
	dial := serveOn(t, listen(t, "unix", filepath.Join(t.TempDir(), "s")), c)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := admin.AskInside(ctx, dial, "", &inside.Question{Ask: inside.AskClasses, Limit: 1}, ignoreProgress)
		first <- err
	}()
	<-began
	second := inside.Question{Ask: inside.AskRefs, Limit: 1}
	if _, err := admin.AskInside(t.Context(), dial, "", &second, ignoreProgress); reasonOf(err) != admin.Busy {
		t.Errorf("beside another question: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone got %v", err)
	}
	<-ended
	for {
		document, err := admin.AskInside(t.Context(), dial, "", &second, ignoreProgress)
		if reasonOf(err) == admin.Busy {
			continue // the first one's place is given back after its end
		}
		if err != nil || string(document) != `"an answer"` {
			t.Errorf("%s, %v", document, err)
		}
		return
	}
}
