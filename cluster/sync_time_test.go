package cluster

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/internal/watchdog"
)

// A waitingBubble is a primary, whose commits wait for one secondary for up to a minute, in the time of a bubble.
type waitingBubble struct {
	*testing.T
	*Node
	server *fakeServer
	log    *bytes.Buffer
}

func inBubble(t *testing.T, onTimeout string, f func(b *waitingBubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := new(bytes.Buffer)
		n, server := waitingPrimary(t, func(c *SyncConfig) { c.Timeout, c.OnTimeout = time.Minute, onTimeout })
		n.opt.Logger = hclog.New(&hclog.LoggerOptions{Output: log})
		update(n, func(id *state.State) { id.Waits = n.waitsFrom(id) })
		f(&waitingBubble{t, n, server, log})
	})
}

// pass lets time pass in a bubble, and returns when all that happens in it has happened.
func (b *waitingBubble) pass(d time.Duration) {
	pause.For(b.Context(), d)
	synctest.Wait()
}

// A commit that waits is a stall after a while, which ends with it. One that was told in time is not reported later.
func TestACommitThatWaitsIsAStallUntilItIsTold(t *testing.T) {
	for _, onTimeout := range []string{SyncBlock, SyncDegrade} {
		inBubble(t, onTimeout, func(b *waitingBubble) {
			told := commitOf(b.Context(), b.Node, 7)
			b.pass(watchdog.Limit)
			if got := b.opt.Watch.Stalls(time.Now()); len(got) != 1 ||
				got[0].String() != "a commit waits for 1 secondary to have it" {
				b.Errorf("%s: stalls %v", onTimeout, got)
			}
			b.server.acknowledge(7)
			if err := <-told; err != nil {
				b.Error(err)
			}
			b.pass(time.Hour)
			if got := b.opt.Watch.Stalls(time.Now()); len(got) > 0 || b.log.Len() > 0 || b.sync.status().Degraded {
				b.Errorf("%s: an hour later it stalls %v, and has logged %s", onTimeout, got, b.log.String())
			}
		})
	}
}

// Secondaries that do not answer in time are reported: W3.
func TestABlockedCommitIsLogged(t *testing.T) {
	inBubble(t, SyncBlock, func(b *waitingBubble) {
		told := commitOf(b.Context(), b.Node, 7)
		b.pass(time.Hour)
		if strings.Count(b.log.String(), "commits wait for secondaries that do not answer") != 1 {
			b.Errorf("it has logged %s", b.log.String())
		}
		b.server.acknowledge(7)
		<-told
	})
}

// A degraded time is logged when it begins and when it ends. While it cannot be written down that is tried again and
// again, with a pause, and logged once: W4.
func TestWhatIsLoggedOfADegradedTime(t *testing.T) {
	inBubble(t, SyncDegrade, func(b *waitingBubble) {
		disk := b.opt.FS.(*simdisk.Disk)
		tries := 0
		disk.FailWhen(func(op simdisk.Op) error {
			if op.Kind == simdisk.Create {
				tries++
				return simdisk.ErrPowerLoss
			}
			return nil
		})
		told := commitOf(b.Context(), b.Node, 7)
		b.pass(5*time.Minute + time.Second)
		if tries != 5 || strings.Count(b.log.String(), "commits keep waiting for secondaries") != 1 {
			b.Errorf("%d tries, and it has logged %s", tries, b.log.String())
		}
		b.log.Reset()
		disk.Heal()
		if err := <-told; err != nil || strings.Count(b.log.String(), "DEGRADED") != 1 {
			b.Errorf("%v: it has logged %s", err, b.log.String())
		}
		b.server.acknowledge(b.st.LastTid())
		b.sync.recovering.Wait()
		if !strings.Contains(b.log.String(), "commits wait for secondaries again") ||
			strings.Contains(b.log.String(), "cannot save") {
			b.Errorf("it has logged %s", b.log.String())
		}
	})
}

// That a degraded time has ended, and this could not be written down, is said.
func TestADegradedTimeWhoseEndCannotBeWrittenDown(t *testing.T) {
	inBubble(t, SyncDegrade, func(b *waitingBubble) {
		if err := <-commitOf(b.Context(), b.Node, 7); err != nil {
			b.Fatal(err)
		}
		full(b.Node)
		b.server.acknowledge(b.st.LastTid())
		b.sync.recovering.Wait()
		if !strings.Contains(b.log.String(), "cannot save that commits wait") || !b.keep.State().Waits.Paused ||
			b.sync.status().Degraded {
			b.Errorf("it keeps %+v, and has logged %s", b.keep.State().Waits, b.log.String())
		}
	})
}
