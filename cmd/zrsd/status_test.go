package main

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

type fixedStatus admin.Status

func (s fixedStatus) Status() admin.Status { return admin.Status(s) }

// A watcher cancels what it watches after some answers.
type watcher struct {
	strings.Builder
	answers int
	enough  context.CancelFunc
}

func (w *watcher) Write(b []byte) (int, error) {
	n, err := w.Builder.Write(b)
	if strings.Count(w.String(), "no secondaries") >= w.answers {
		w.enough()
	}
	return n, err
}

func TestWatchingAsksAgainUntilItIsInterrupted(t *testing.T) {
	ts := httptest.NewServer(admin.Handler(fixedStatus{Role: "primary"}, nil))
	defer ts.Close()
	addr, err := endpoint.Parse(strings.TrimPrefix(ts.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watcher{answers: 3, enough: cancel}
	opt := statusOptions{watch: time.Millisecond}
	show := func(out io.Writer) error { return opt.show(ctx, addr, addr.Dial, out) }
	if err := opt.repeat(ctx, out, show); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "no secondaries"); got != 3 {
		t.Errorf("%d answers", got)
	}
}
