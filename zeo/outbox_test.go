package zeo

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// A slowWriter takes a batch when it is told to, and only one at a time.
type slowWriter struct {
	t     *testing.T
	took  chan error // the end of each Write
	busy  bool
	sizes []int
	all   bytes.Buffer
}

func (w *slowWriter) Write(b []byte) (int, error) {
	if w.busy {
		w.t.Error("two goroutines write at a time")
	}
	w.busy = true
	err := <-w.took
	w.busy = false
	w.sizes = append(w.sizes, len(b))
	w.all.Write(b)
	return len(b), err
}

// slowOutbox returns an outbox to a client that reads when it is told to, and gives up when the outbox is closed.
func slowOutbox(t *testing.T, limit int64) (*outbox, *slowWriter) {
	t.Helper()
	w := &slowWriter{t: t, took: make(chan error, 1)}
	return newOutbox(w, func() { w.took <- errGivenUp }, limit), w
}

var errGivenUp = errors.New("given up")

func appends(b ...byte) func([]byte) []byte {
	return func(waiting []byte) []byte { return append(waiting, b...) }
}

// began starts f, and returns where its end is told.
func began(f func() error) chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	synctest.Wait()
	return ended
}

func waits(t *testing.T, what string, ended chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-ended:
		t.Errorf("%s does not wait: %v", what, err)
	default:
	}
}

// As many bytes may wait as the limit allows, those that are being written included; with more the client is cut off,
// at once. What is larger than the limit goes alone.
func TestAnOutboxTakesWhatItsLimitAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, w := slowOutbox(t, 10)
		o.put(make([]byte, 11)) // alone
		ended := began(o.run)
		w.took <- nil
		synctest.Wait()
		o.put(make([]byte, 6))
		synctest.Wait() // it is being written
		o.put(make([]byte, 4))
		if o.size() != 10 {
			t.Errorf("%d bytes wait", o.size())
		}
		waits(t, "a full outbox", ended)
		o.put(nil)
		waits(t, "a full outbox that got nothing more", ended)
		o.put(make([]byte, 1))
		if err := <-ended; !errors.Is(err, errSlow) {
			t.Errorf("ended with %v", err)
		}
		if o.put([]byte("too late")); o.size() != 0 {
			t.Errorf("%d bytes wait after the end", o.size())
		}
	})
}

// Messages leave in their order, whoever writes: the goroutine of run, or the one that reads from the client. Only one
// of them writes at a time.
func TestAnOutboxKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, w := slowOutbox(t, 1000)
		if err := o.flush(); err != nil { // there is nothing to write
			t.Error(err)
		}
		ended := began(o.run)
		o.put([]byte("a")) // run is to write it
		synctest.Wait()
		o.add(1, appends('b'))
		if err := o.flush(); err != nil { // it leaves that to who writes
			t.Error(err)
		}
		o.wake()
		w.took <- nil
		synctest.Wait()
		o.add(1, appends('c'))
		w.took <- nil // of b
		synctest.Wait()
		w.took <- nil // of c, without another word
		synctest.Wait()
		o.add(1, appends('d'))
		o.wake()
		synctest.Wait()
		w.took <- nil
		synctest.Wait()
		o.add(1, appends('e'))
		w.took <- nil
		if err := o.flush(); err != nil { // nobody else writes
			t.Error(err)
		}
		if got := w.all.String(); got != "abcde" {
			t.Errorf("sent %q", got)
		}
		o.add(1, appends('f'))
		flushed := began(o.flush)
		o.put([]byte("g")) // run leaves it to who writes, until that has ended
		synctest.Wait()
		w.took <- nil
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		w.took <- nil
		synctest.Wait()
		if got := w.all.String(); got != "abcdefg" || !slices.Equal(w.sizes[len(w.sizes)-2:], []int{1, 1}) {
			t.Errorf("sent %q in steps of %v", got, w.sizes)
		}
		o.end()
		if err := <-ended; !errors.Is(err, errDone) {
			t.Errorf("ended with %v", err)
		}
	})
}

// Who answers a client that reads too little waits for it, and goes on as it has read.
func TestFlushWaitsForAClientThatReadsTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, w := slowOutbox(t, 40)
		written := began(func() error { o.add(6, appends(make([]byte, 6)...)); return o.flush() })
		o.add(4, appends(make([]byte, 4)...))
		if o.full() {
			t.Error("a quarter of the limit is too much")
		}
		if err := o.flush(); err != nil { // what waits leaves with the one that writes
			t.Error(err)
		}
		o.add(1, appends('x'))
		if !o.full() {
			t.Error("more than a quarter of the limit is not too much")
		}
		flushed := began(o.flush)
		waits(t, "flush of a full outbox", flushed)
		w.took <- nil
		if err := <-written; err != nil {
			t.Error(err)
		}
		synctest.Wait() // it has room, and writes the rest
		w.took <- nil
		if err := <-flushed; err != nil || o.size() != 0 {
			t.Errorf("%v, %d bytes wait", err, o.size())
		}
		o.add(11, appends(make([]byte, 11)...)) // nobody writes, so that there is nobody to wait for
		w.took <- nil
		if err := o.flush(); err != nil || o.size() != 0 {
			t.Errorf("%v, %d bytes wait", err, o.size())
		}
	})
}

// A stream of large messages has no more than a few of them in memory, and ends as the connection does.
func TestAStreamWaitsForTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, w := slowOutbox(t, 1<<30)
		large := []byte(strings.Repeat("x", maxSpare/2))
		first := began(func() error { return o.stream(appends(large...)) })
		waits(t, "who writes", first)
		if err := o.stream(appends(large...)); err != nil {
			t.Error(err)
		}
		if err := o.stream(appends('y')); err != nil { // as many as may wait
			t.Error(err)
		}
		next := began(func() error { return o.stream(appends('z')) })
		waits(t, "a stream with much in memory", next)
		w.took <- nil
		if err := <-first; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.took <- nil
		if err := <-next; err != nil || w.sizes[1] != len(large)+2 || o.size() != 0 {
			t.Errorf("%v, sent %v", err, w.sizes)
		}
		writes := began(func() error { return o.stream(appends(make([]byte, maxSpare+1)...)) })
		next = began(func() error { return o.stream(appends('z')) })
		o.close(errWithdrawn)
		for _, ended := range []chan error{writes, next} {
			if err := <-ended; !errors.Is(err, errWithdrawn) {
				t.Errorf("ended with %v", err)
			}
		}
		o, _ = slowOutbox(t, 1<<30)
		o.add(maxSpare+1, appends(make([]byte, maxSpare+1)...)) // whose writer has ended
		next = began(func() error { return o.stream(appends('z')) })
		waits(t, "a stream with much in memory", next)
		o.close(errWithdrawn)
		if err := <-next; !errors.Is(err, errWithdrawn) {
			t.Errorf("ended with %v", err)
		}
	})
}

// Where the client is gone, or the outbox is closed, all who use it are told why, and nothing more is taken or sent.
func TestAnOutboxThatIsClosedSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		o, w := slowOutbox(t, 1000)
		ended := began(o.run)
		o.put([]byte("a"))
		synctest.Wait()
		o.put([]byte("b"))
		w.took <- broken
		if err := <-ended; !errors.Is(err, broken) {
			t.Errorf("ended with %v", err)
		}
		<-w.took // it has given up
		if err := errors.Join(o.flush(), o.stream(appends('c'))); !errors.Is(err, broken) {
			t.Errorf("after the end: %v", err)
		}
		o.close(errWithdrawn) // the first reason stays
		if err := o.flush(); !errors.Is(err, broken) || w.all.String() != "a" || o.size() != 0 {
			t.Errorf("%v, sent %q, %d bytes wait", err, w.all.String(), o.size())
		}
		idle, _ := slowOutbox(t, 1000)
		ended = began(idle.run)
		idle.close(errWithdrawn)
		if err := <-ended; !errors.Is(err, errWithdrawn) {
			t.Errorf("an idle one ended with %v", err)
		}
	})
}

// At its end an outbox sends all that is in it.
func TestAnOutboxEndsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, w := slowOutbox(t, 1000)
		ended := began(o.run)
		o.put([]byte("a"))
		synctest.Wait()
		o.add(1, appends('b'))
		o.end()
		w.took <- nil
		synctest.Wait()
		waits(t, "an end with something to send", ended)
		w.took <- nil
		if err := <-ended; !errors.Is(err, errDone) || w.all.String() != "ab" {
			t.Errorf("ended with %v, sent %q", err, w.all.String())
		}
		o, w = slowOutbox(t, 1000)
		ended = began(o.run)
		o.add(1, appends('c'))
		flushed := began(o.flush)
		o.end()
		waits(t, "an end while another one writes", ended)
		w.took <- nil
		if err := errors.Join(<-flushed, <-ended); !errors.Is(err, errDone) || w.all.String() != "c" {
			t.Errorf("ended with %v, sent %q", err, w.all.String())
		}
	})
}
