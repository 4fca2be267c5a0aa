package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/secondary"
)

// stalled is a board with one wait that began at a time.
func stalled(since time.Time) *watchdog.Board {
	b := new(watchdog.Board)
	b.Found("a commit", func() (string, time.Time) { return "the disk", since })
	return b
}

// A node whose storage stands still is not ready, and a secondary is not live, whatever the connection says.
func TestANodeThatStandsStillSaysSo(t *testing.T) {
	now := time.Now()
	f := &nodeStatus{board: stalled(now.Add(-time.Hour))}
	f.opened(func(st *admin.Status) {
		st.Ready = true
		st.Upstream = &admin.Upstream{State: string(secondary.StateLive)}
	})
	st := f.Status()
	if st.Ready || st.NotReady == nil || !strings.Contains(*st.NotReady, "a commit waits for the disk") {
		t.Errorf("ready %v, because %v", st.Ready, st.NotReady)
	}
	if len(st.Troubles) != 1 || !st.Troubles[0].Stall || st.Upstream.State != stateStalled {
		t.Errorf("state %s, troubles %v", st.Upstream.State, st.Troubles)
	}
	f.board = stalled(now.Add(time.Hour)) // no stall yet
	if st := f.Status(); !st.Ready || len(st.Troubles) > 0 || st.Upstream.State != string(secondary.StateLive) {
		t.Errorf("after it: ready %v, troubles %v, state %s", st.Ready, st.Troubles, st.Upstream.State)
	}
}

// Who is to stop waits for what makes progress, and for what stands still as long as stopPatience.
func TestAProcessStopsWithoutWhatStandsStill(t *testing.T) {
	begun := time.Now()
	late := begun.Add(stopPatience)
	for name, c := range map[string]struct {
		board *watchdog.Board
		now   time.Time
		hung  bool
	}{
		"nothing stands still":        {new(watchdog.Board), late, false},
		"it has stood still for long": {stalled(begun.Add(-time.Hour)), late, true},
		"since the signal":            {stalled(begun), late, true},
		"the signal has just come":    {stalled(begun.Add(-time.Hour)), late.Add(-1), false},
		"it has just begun":           {stalled(begun.Add(1)), late, false},
	} {
		members := []*member{{c: &Config{board: new(watchdog.Board)}}, {c: &Config{board: c.board}}}
		err := hung(members, begun, c.now)
		var hungErr *hungError
		if errors.As(err, &hungErr) != c.hung {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without a stall the end of the members is waited for.
func TestAProcessThatIsNotHungEndsWithItsMembers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	failed := errors.New("failed")
	c := new(Config)
	c.fill()
	m := &member{c: c, session: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return failed
	}}
	if err := untilHung(ctx, []*member{m}, nil); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

// The status asks a storage by an interface, which a rename of its method would miss.
func TestWhatIsLeftToBeDoneIsShown(t *testing.T) {
	var _ interface{ Leftovers() (time.Time, error) } = (*filestorage.Storage)(nil)
	st := new(admin.Status)
	showLeft(st, leaves{})
	if len(st.Troubles) != 1 || st.Troubles[0].Text != "a blob is left" {
		t.Errorf("the troubles are %+v", st.Troubles)
	}
}

// leaves is a storage with something left to be done.
type leaves struct{}

func (leaves) Leftovers() (time.Time, error) { return time.Unix(1, 0), errors.New("a blob is left") }
