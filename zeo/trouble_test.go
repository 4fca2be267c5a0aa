package zeo

import (
	"errors"
	"testing"
	"time"
)

// What is tried again each second is told when it is new, when it changes, and now and then.
func TestATroubleIsToldOfWithinBounds(t *testing.T) {
	var broken trouble
	one, other, now := errors.New("one"), errors.New("other"), time.Now()
	for i, c := range []struct {
		err  error
		at   time.Duration
		told bool
	}{
		{one, 0, true}, {one, time.Second, false}, {one, tellEvery - 1, false}, {one, tellEvery, true},
		{other, tellEvery + 1, true}, {other, tellEvery + 2, false},
	} {
		if told := broken.worthTelling(c.err, now.Add(c.at)); told != c.told {
			t.Errorf("%d: told %v", i, told)
		}
	}
	if !broken.ended() || broken.ended() || !broken.worthTelling(other, now) {
		t.Error("its end was not noticed once")
	}
}
