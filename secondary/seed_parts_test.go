package secondary

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// all deals everything that there is now.
func (q *partQueue) all() (list []*protocol.RangeRequest) {
	for r := q.deal(false); r != nil; r = q.deal(false) {
		list = append(list, r)
	}
	return list
}

func queueOf(parts int64, roundTrip time.Duration) (*partQueue, *clock) {
	now := newClock()
	return newPartQueue(magicLen, magicLen+parts*seedPart, roundTrip, nil, now.now), now
}

// In whatever order parts come, the storage gets them in the order of the file, each once.
func TestPartsAreTakenInTheOrderOfTheFile(t *testing.T) {
	q, _ := queueOf(10, 0)
	q.settle(magicLen + 10*seedPart + 5)
	var got []byte
	var want []byte
	for i := 0; len(got) < 11; {
		dealt := q.all()
		rand.Shuffle(len(dealt), func(a, b int) { dealt[a], dealt[b] = dealt[b], dealt[a] })
		for _, r := range dealt {
			if n := int64(seedPart); r.Length != n && r.From+r.Length != q.end {
				t.Errorf("a part of %d bytes at %d", r.Length, r.From)
			}
			q.put(r.From, bytes.Repeat([]byte{byte(r.From / seedPart)}, int(r.Length)))
		}
		for range dealt {
			part := q.take()
			got, want = append(got, part[0]), append(want, byte(i))
			i++
		}
	}
	if !slices.Equal(got, want) || q.take() != nil || q.deal(true) != nil || q.failed() != nil {
		t.Errorf("taken %d, then more", got)
	}
}

// However long the line, no more is asked for than may be in memory, and where the storage is slow, less.
func TestNoMoreIsAskedForThanTheStorageTakes(t *testing.T) {
	for name, c := range map[string]struct {
		roundTrip time.Duration
		perPart   time.Duration // of the storage
		least     int64
		most      int64
	}{
		"near":                  {100 * time.Microsecond, time.Millisecond, minAhead, minAhead + seedPart},
		"far":                   {200 * time.Millisecond, 2 * time.Millisecond, maxAhead, maxAhead},
		"far, and a slow disk":  {200 * time.Millisecond, 50 * time.Millisecond, minAhead, minAhead + 4*seedPart},
		"near, and a slow disk": {100 * time.Microsecond, 50 * time.Millisecond, minAhead, minAhead + seedPart},
	} {
		q, now := queueOf(1000, c.roundTrip)
		type answer struct {
			from int64
			at   time.Time
		}
		var wire []answer
		ask := func() {
			for _, r := range q.all() {
				wire = append(wire, answer{r.From, now.now().Add(c.roundTrip)})
			}
			if out := q.next - q.taken; out > q.most || out > maxAhead {
				t.Fatalf("%s: %d bytes are asked for", name, out)
			}
		}
		for range 500 {
			ask()
			if _, there := q.ready[q.taken]; !there && wire[0].at.After(now.now()) {
				q.waits = true // as take notes
				now.passes(wire[0].at.Sub(now.now()))
			}
			for len(wire) > 0 && !wire[0].at.After(now.now()) {
				q.put(wire[0].from, make([]byte, seedPart))
				wire = wire[1:]
			}
			q.take()
			now.passes(c.perPart)
		}
		ask()
		if out := q.next - q.taken; out < c.least-seedPart || out > c.most {
			t.Errorf("%s: in the end %d bytes are asked for, want %d to %d", name, out, c.least, c.most)
		}
	}
}

// After an error what is there up to the first part that is missing can be used; nobody waits for more.
func TestAQueueThatFailsGivesWhatIsThere(t *testing.T) {
	q, _ := queueOf(100, 0)
	dealt, broken := q.all(), errors.New("broken")
	for _, i := range []int{0, 1, 3} {
		q.put(dealt[i].From, make([]byte, seedPart))
	}
	waits := make(chan bool)
	go func() { waits <- q.deal(true) == nil }()
	q.fail(broken)
	q.fail(errors.New("another"))
	if !<-waits || q.take() == nil || q.take() == nil || q.take() != nil || !errors.Is(q.failed(), broken) {
		t.Error("it gives more, or less, than the parts before the first that is missing")
	}
}

// ready puts in so many parts of those that are dealt, from one on.
func (q *partQueue) readied(from, parts int64) {
	for i := range parts {
		q.put(magicLen+(from+i)*seedPart, make([]byte, seedPart))
	}
}

// Where the storage is slow, parts stay with the kernel and with the primary, until the storage takes one.
func TestNoMoreIsReadThanTheStorageNeeds(t *testing.T) {
	for name, goOn := range map[string]func(*partQueue, *clock){
		"the storage takes one": func(q *partQueue, _ *clock) { q.take() },
		"it has failed":         func(q *partQueue, _ *clock) { q.fail(errors.New("broken")) },
		"the storage waits for blobs": func(q *partQueue, _ *clock) {
			q.meanwhile(func() { q.room() })
			if !q.full() {
				t.Error("when the blobs are there, more is read than the storage needs")
			}
			q.take()
		},
		"the storage takes so long that a heartbeat may wait": func(q *partQueue, now *clock) {
			q.mu.Lock()
			now.passes(q.patience)
			q.mu.Unlock()
			q.moved.Broadcast()
		},
	} {
		q, now := queueOf(100, time.Second)
		q.patience = time.Hour
		q.readied(0, maxReady-1)
		q.room() // one more may be read
		q.readied(maxReady-1, 1)
		if !q.full() {
			t.Fatalf("%s: %d parts are ready, and more are read", name, maxReady)
		}
		room := make(chan []byte)
		go func() { room <- q.room() }()
		select {
		case <-room:
			t.Fatalf("%s: there was room before that", name)
		default:
		}
		goOn(q, now)
		<-room
	}
}

func (q *partQueue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.enough()
}

// What the storage waits for is read, however much else is there.
func TestThePartThatTheStorageWaitsForIsRead(t *testing.T) {
	q, _ := queueOf(100, time.Second)
	q.patience = time.Hour
	q.readied(1, 2*maxReady)
	q.room()
	q.readied(0, 1)
	if !q.full() {
		t.Error("more is read after it")
	}
}

// When all is there, streams are closed on which somebody may still wait.
func TestStreamsThatAreNotNeededAreNoFailure(t *testing.T) {
	broken := errors.New("closed")
	q := newPartQueue(0, 3, 0, nil, time.Now)
	q.settle(3)
	q.fail(broken)
	if !errors.Is(q.failed(), broken) {
		t.Errorf("before it was there: %v", q.failed())
	}
	q = newPartQueue(0, 3, 0, nil, time.Now)
	q.settle(3)
	r := q.deal(false)
	q.put(r.From, []byte("abc"))
	if part := q.take(); string(part) != "abc" {
		t.Fatalf("took %q", part)
	}
	q.fail(broken)
	if err := q.failed(); err != nil {
		t.Errorf("when it was there: %v", err)
	}
}
