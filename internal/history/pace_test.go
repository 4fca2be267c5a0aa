package history

import (
	"context"
	"testing"
	"time"
)

func TestAReaderRestsAtTheEndOfATurnOnly(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel() // so that rests are over at once
	begun := time.Now().Add(-time.Hour)
	p := &pace{since: begun, pos: 100, size: 1}
	p.step(ended, 100+turn-1, 2)
	if !p.since.Equal(begun) {
		t.Error("a turn ended before its time")
	}
	p.step(ended, 100+turn, 2)
	if p.since.Equal(begun) || p.pos != 100+turn || p.size != 2 {
		t.Errorf("behind a turn: %+v", p)
	}
	p.step(ended, 4, 3) // a pack has made the file smaller
	if p.pos != 4 {
		t.Errorf("behind a pack: %+v", p)
	}
}
