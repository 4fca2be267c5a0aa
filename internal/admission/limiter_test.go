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
	proved.Enter() // is refused in the end, and counts as the newest
	l.want(t, "a2")
	proved.Leave()
	proved.Leave()
	if n := l.limiter.Len(); n != 0 {
		t.Errorf("%d connections are counted", n)
	}
}
