package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

func TestRatesAreThoseSinceTheListBefore(t *testing.T) {
	begun := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	client := func(label string, loads, stores, commits int64) admin.Client {
		return admin.Client{
			Label: &label, Since: begun, Doing: "idle", Loads: loads, Stores: stores, Commits: commits,
		}
	}
	var r admin.ClientRates
	first := r.Next([]admin.Client{client("a", 100, 0, 10), client("b", 0, 0, 0)}, begun.Add(10*time.Second))
	if first[0].LoadRate != 10 || first[0].CommitRate != 1 {
		t.Errorf("since it connected: %+v", first[0])
	}
	busy := client("b", 50, 20, 4)
	busy.Doing = "holding"
	waits := client("c\x1b[2J", 0, 0, 0)
	waits.Doing, waits.Since = "waiting", begun.Add(12*time.Second)
	next := r.Next([]admin.Client{client("a", 100, 0, 10), busy, waits}, begun.Add(12*time.Second))
	if *next[0].Label != "b" || next[0].LoadRate != 25 || next[0].StoreRate != 10 || next[0].CommitRate != 2 {
		t.Errorf("the busiest one: %+v", next[0])
	}
	if next[1].LoadRate+next[1].CommitRate+next[2].CommitRate != 0 {
		t.Errorf("those that do nothing: %+v", next[1:])
	}
	var out strings.Builder
	if err := admin.WriteTop(&out, next); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.HasPrefix(text, "3 clients: 1 with the commit lock, 1 waiting for it; per "+
		"second 25.0 loads, 10.0 stores, 2.0 commits\n") || strings.Contains(text, "\x1b") {
		t.Errorf("got\n%s", text)
	}
}
