package verify

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// A clock for verifiers.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (s *site) verifier(c *clock, interval time.Duration) *Verifier {
	return NewVerifier(VerifierOptions{FS: s.disk, Path: s.path, Name: "db1", Interval: interval, Now: c.now})
}

func (s *site) once(v *Verifier) *Pass {
	s.t.Helper()
	r, err := v.Once(s.t.Context(), Options{FS: s.disk, Path: s.path, Committed: s.st.Size, Now: v.now})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// The time of the next pass survives restarts: neither is it made again at each start, nor put off by each.
func TestWhenTheNextPassIsDueSurvivesARestart(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(3)
	const week = 7 * 24 * time.Hour
	c := &clock{time.Now()}
	v := s.verifier(c, week)
	first, last := v.Due()
	if d := first.Sub(c.at); d < week/25 || d > week/10 || !last.IsZero() {
		t.Fatalf("the first pass is due in %v", d)
	}
	v.Save()
	c.at = c.at.Add(time.Hour)
	v = s.verifier(c, week)
	if again, _ := v.Due(); !again.Equal(first) {
		t.Errorf("after a restart it is due at %v, not %v", again, first)
	}
	c.at = first
	s.once(v)
	planned, last := v.Due()
	if d := planned.Sub(c.at); d < week*8/10 || d > week*12/10 || !last.Equal(c.at.UTC()) {
		t.Fatalf("the second pass is due in %v, the first was at %v", d, last)
	}
	c.at = c.at.Add(time.Hour)
	v = s.verifier(c, week)
	if again, _ := v.Due(); !again.Equal(planned) {
		t.Errorf("after a restart it is due at %v, was %v", again, planned)
	}
	if sooner, _ := s.verifier(c, 24*time.Hour).Due(); sooner.After(last.Add(27 * time.Hour)) {
		t.Errorf("with a shorter interval it is due at %v", sooner)
	}
	if never, _ := s.verifier(c, 0).Due(); !never.IsZero() {
		t.Errorf("without an interval it is due at %v", never)
	}
	_ = s.close()
}

func TestTheStatusFileSaysWhatTheLastPassFound(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(3)
	v := s.verifier(&clock{time.Now()}, 0)
	r := s.once(v)
	b, err := vfs.ReadFile(s.disk, s.path+statusSuffix, maxOwnFile)
	if err != nil {
		t.Fatal(err)
	}
	var st Status
	if err := json.Unmarshal(b, &st); err != nil {
		t.Fatal(err)
	}
	if st.Last == nil || st.Last.Transactions != r.Transactions || st.Running != nil || st.Totals.Passes != 1 ||
		st.Totals.Attempted != 1 || st.Name != "db1" {
		t.Errorf("got %s", b)
	}
	_ = s.close()
}

// A pass that fails is tried again soon, and the result of the last one that came to its end stays.
func TestAPassThatFailsIsTriedAgain(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(3)
	c := &clock{time.Now()}
	v := s.verifier(c, 24*time.Hour)
	s.once(v)
	_, err := v.Once(t.Context(), Options{FS: s.disk, Path: "Other.fs"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	st := v.Status()
	if next, _ := v.Due(); next.Sub(c.at) > retryAfter || st.Last == nil || st.Failed == nil || st.Totals.Passes != 1 ||
		st.Totals.Failure != 1 {
		t.Errorf("got %+v", st)
	}
	_ = s.close()
}

func TestOnePassAtATime(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(3)
	v := s.verifier(&clock{time.Now()}, 0)
	var second error
	running := false
	_, err := v.Once(t.Context(), Options{FS: s.disk, Path: s.path, Progress: func(int64, int64) {
		running = v.Status().Running != nil
		_, second = v.Once(t.Context(), Options{FS: s.disk, Path: s.path})
	}})
	if err != nil || !errors.Is(second, ErrRunning) || !running {
		t.Errorf("got %v, %v, running %v", err, second, running)
	}
	s.once(v)
	_ = s.close()
}

// Whenever the power fails while the status is written, the old or the new one is there.
func TestACrashLeavesAStatus(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for seed := range uint64(6) {
			disk := simdisk.New()
			s := newSite(t, disk, "Data.fs")
			c := &clock{time.Now()}
			v := s.verifier(c, time.Hour)
			s.once(v)
			first := c.at
			c.at = c.at.Add(time.Hour)
			disk.PowerOffAt(len(disk.Ops()) + n)
			v.mu.Lock()
			v.status.Last = &Pass{Ended: c.at}
			v.mu.Unlock()
			v.Save()
			_ = s.st.Close()
			st, err := LoadStatus(disk.Crash(seed), s.path)
			if err != nil || st.Last == nil || !st.Last.Ended.Equal(first) && !st.Last.Ended.Equal(c.at) {
				t.Errorf("operation %d, seed %d: %v, %v", n, seed, st, err)
			}
		}
	}
}

func TestADamagedStatusIsWrittenAnew(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	for _, text := range []string{"", "{", `{"format": 99}`} {
		if err := writeFile(s.disk, s.path+statusSuffix, []byte(text)); err != nil {
			t.Fatal(err)
		}
		v := s.verifier(&clock{time.Now()}, time.Hour)
		s.once(v)
		if st, err := LoadStatus(s.disk, s.path); err != nil || st.Last == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	_ = s.close()
}

func TestAVerifierThatOnlyReadsWritesNothing(t *testing.T) {
	disk := simdisk.New()
	s := newSite(t, disk, "Data.fs")
	s.grow(80)
	_ = s.close()
	before := len(disk.Ops())
	v := NewVerifier(VerifierOptions{FS: disk, Path: s.path, Interval: time.Hour, ReadOnly: true})
	v.Save()
	r, err := v.Once(t.Context(), Options{FS: disk, Path: s.path, ReclaimAge: time.Nanosecond})
	if err != nil || r.Success != 1 || v.Status().Last == nil {
		t.Errorf("got %v", err)
	}
	if ops := disk.Ops()[before:]; len(ops) > 0 {
		t.Errorf("it has done %v", ops)
	}
}

// A pass that somebody ends, or that ends with the node, has not failed: nothing is reported, and a pass that was made
// by hand puts the next one neither off nor forward.
func TestAPassThatIsGivenUpIsNoFailure(t *testing.T) {
	s := newSite(t, simdisk.New(), "Data.fs")
	s.grow(3)
	c := &clock{time.Now()}
	v := s.verifier(c, 24*time.Hour)
	s.once(v)
	before, _ := v.Due()
	giveUp := func() *Status {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := v.Once(ctx, Options{FS: s.disk, Path: s.path, Progress: func(int64, int64) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("it came to its end: %v", err)
		}
		return v.Status()
	}
	if st := giveUp(); st.Failed != nil || st.Running != nil || st.Totals.Failure != 0 || !st.Next.Equal(before) {
		t.Errorf("by hand: %+v", st)
	}
	c.at = before.Add(time.Minute)
	if st := giveUp(); st.Failed != nil || !st.Next.After(c.at) || st.Next.Sub(c.at) > retryAfter {
		t.Errorf("when it was due: %+v", st)
	}
	_ = s.close()
}
