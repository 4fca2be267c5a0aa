package admission

import (
	"fmt"
	"slices"
	"testing"
)

// A fixture is a limiter whose connections have names, and those that were closed to make room.
type fixture struct {
	limiter *Limiter
	out     []string
}

func (l *fixture) enter(source, name string) *Conn {
	g := l.limiter.NewConn(source, func(error) { l.out = append(l.out, name) })
	g.Enter()
	return g
}

func (l *fixture) want(t *testing.T, out ...string) {
	t.Helper()
	if !slices.Equal(l.out, out) {
		t.Errorf("made way: %q, want %q", l.out, out)
	}
	l.out = nil
}

func TestTheOldestOfASourceMakesWay(t *testing.T) {
	l := &fixture{limiter: NewLimiter(2, 10)}
	l.enter("a", "a1")
	l.enter("b", "b1")
	l.enter("a", "a2")
	l.want(t)
	l.enter("a", "a3")
	l.want(t, "a1")
	l.enter("a", "a4")
	l.want(t, "a2")
}

func TestWhoHasTheMostConnectionsMakesWay(t *testing.T) {
	l := &fixture{limiter: NewLimiter(4, 5)}
	l.enter("one", "h1") // the oldest of all
	for i := range 4 {
		l.enter("greedy", fmt.Sprint("g", i))
	}
	for i := range 3 {
		l.enter(fmt.Sprint("newcomer", i), "n")
	}
	l.want(t, "g0", "g1", "g2")
}

func TestWhoHasProvedItselfMakesNoWay(t *testing.T) {
	l := &fixture{limiter: NewLimiter(1, 10)}
	proved := l.enter("a", "a1")
	proved.Leave()
	l.enter("a", "a2")
	l.want(t)
	proved.Leave()
	l.want(t)
	if n := l.limiter.Len(); n != 1 {
		t.Errorf("%d connections are counted", n)
	}
}

// One that counts again is closed itself where others have come since, which may just be about to prove themselves.
func TestWhoCountsAgainMakesWayForWhoCameLater(t *testing.T) {
	for name, limiter := range map[string]*Limiter{"of an address": NewLimiter(2, 10), "of all": NewLimiter(10, 2)} {
		t.Run(name, func(t *testing.T) {
			l := &fixture{limiter: limiter}
			l.enter("a", "first")
			answered := l.enter("a", "answered")
			answered.Leave()
			l.enter("a", "later")
			answered.Enter()
			l.want(t, "first")
			answered.Leave()
			l.enter("a", "latest")
			answered.Enter()
			l.want(t, "answered")
		})
	}
}
