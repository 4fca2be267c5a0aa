package admin

import (
	"errors"
	"net/url"
	"testing"
)

// What a request asks for is refused, or within bounds and the same when it is written again.
func FuzzRequests(f *testing.F) {
	for _, query := range []string{
		"until=2026-01-02T03:04:05.6Z&gc=true&keep_old=0", "until=tomorrow",
		"until=9999-12-31T23:59:59-01:00", "until=0000-01-01T00:00:00%2b01:00",
		"gc=perhaps&keep_old=", "copy_damage=1",
		"timeout=30s&dry_run=true&force=false", "timeout=1ns", "timeout=-1h", "dry_run=perhaps", "timeout=2h",
		"first=5&count=1000&user=a%26b&description=%ff", "count=0", "first=-1", "count=99999999999999999999",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Skip()
		}
		var refusal *Refusal
		if q, err := undoQuery(values); err == nil {
			if q.First < 0 || q.First > MaxUndoFirst || q.Count < 1 || q.Count > MaxUndoCount {
				t.Errorf("%q asks for %+v", query, q)
			}
			if again, err := undoQuery(q.values()); err != nil || again != q {
				t.Errorf("%q is %+v, then %+v, %v", query, q, again, err)
			}
		} else if !errors.As(err, &refusal) || refusal.Reason != Invalid {
			t.Errorf("%q: %v", query, err)
		}
		if timeout, err := checkChange(values); err == nil {
			if timeout < MinChangeTimeout || timeout > MaxChangeTimeout {
				t.Errorf("%q may take %v", query, timeout)
			}
		} else if !errors.As(err, &refusal) || refusal.Reason != Invalid {
			t.Errorf("%q: %v", query, err)
		}
		if req, err := packRequest(values); err == nil {
			again, err := packRequest(req.values())
			if err != nil || !again.Until.Equal(req.Until) || !same(again.GC, req.GC) ||
				!same(again.KeepOld, req.KeepOld) || again.CopyDamage != req.CopyDamage {
				t.Errorf("%q is %+v, then %+v, %v", query, req, again, err)
			}
		} else if !errors.As(err, &refusal) || refusal.Reason != Invalid {
			t.Errorf("%q: %v", query, err)
		}
	})
}

func same(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }
