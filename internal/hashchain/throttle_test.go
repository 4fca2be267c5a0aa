package hashchain

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// rests returns for how long a step rests, by a clock that moves only while everybody waits.
func (p *throttle) rests(ctx context.Context, pos, size int64) time.Duration {
	begun := time.Now()
	p.step(ctx, pos, size)
	return time.Since(begun)
}

// A reader rests for as long as the turn took, and much longer while the storage grows, so that it never has more than
// half of a processor or disk, and makes way for whoever is waited for.
func TestAReaderRestsAtTheEndOfATurnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &throttle{since: time.Now(), pos: 100}
		if d := p.rests(t.Context(), 100+turn, 7); d != 0 {
			t.Errorf("it rests %v after the first turn", d)
		}
		for _, c := range []struct {
			what      string
			took      time.Duration
			pos, size int64
			want      time.Duration
		}{
			{"in the middle of a turn", time.Second, 100 + 2*turn - 1, 7, 0},
			{"at the end of a turn", time.Second, 100 + 2*turn, 7, 2 * time.Second},
			{"at the end of a short turn", time.Millisecond, 100 + 3*turn, 7, time.Millisecond},
			{"where the storage grew", time.Millisecond, 100 + 4*turn, 8, busyRest},
			{"where it grew and the turn was long", time.Second, 100 + 5*turn, 9, time.Second},
			{"where a pack has made the file smaller", time.Millisecond, 4, 3, busyRest},
			{"in the middle of the turn after that", time.Second, 3 + turn, 3, 0},
		} {
			time.Sleep(c.took) //nolint:forbidigo // the reading, by the clock of the bubble
			if d := p.rests(t.Context(), c.pos, c.size); d != c.want {
				t.Errorf("%s, after %v: it rests %v, want %v", c.what, c.took, d, c.want)
			}
		}
	})
}

func TestARestEndsWithTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := &throttle{since: time.Now().Add(-time.Hour), size: 1}
		if d := p.rests(ctx, turn, 1); d != time.Second {
			t.Errorf("it rests %v, and was ended after a second", d)
		}
	})
}
