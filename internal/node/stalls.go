package node

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/secondary"
)

// lookEvery is how often it is looked for stalls.
const lookEvery = time.Second

// watchOver logs the stalls of a storage until ctx ends.
func (c *Config) watchOver(ctx context.Context) {
	dog := watchdog.NewDog(c.board, c.Logger.Named("watchdog"))
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			dog.Look(now)
		case <-ctx.Done():
			return
		}
	}
}

// stateStalled is the state of a secondary that is connected, and whose storage makes no progress.
const stateStalled = "stalled"

// showStalls adds what makes no progress to what a node says of itself. A node that stands still is not ready, and does
// not follow live, whatever its parts say: each knows of itself only.
func showStalls(st *admin.Status, stalls []watchdog.Stall) {
	for _, s := range stalls {
		st.Troubles = append(st.Troubles, admin.Trouble{
			Code: warning.Stalled, Text: s.String(), Since: s.Since.UTC(), Stall: true,
		})
		if st.NotLive == nil && s.Hung(st.Now) {
			st.NotLive = admin.Known(fmt.Sprintf("%v, since %s", s, s.Since.UTC().Format(time.RFC3339)))
		}
	}
	if len(stalls) == 0 {
		return
	}
	if st.Ready {
		st.Ready = false
		st.NotReady = admin.Known(fmt.Sprintf("no progress since %s: %v", stalls[0].Since.UTC().Format(time.RFC3339),
			stalls[0]))
	}
	if u := st.Upstream; u != nil && (u.State == string(secondary.StateLive) ||
		u.State == string(secondary.StateCatchingUp) || u.State == string(secondary.StateSeeding)) {
		u.State = stateStalled
	}
}

// showLeft adds what a recovery or a pack has left to be done, for which nothing waits.
func showLeft(st *admin.Status, src any) {
	storage, ok := src.(interface{ Leftovers() (time.Time, error) })
	if !ok {
		return
	}
	if since, why := storage.Leftovers(); why != nil {
		st.Troubles = append(st.Troubles, admin.Trouble{
			Code: warning.CleanupLeft, Text: why.Error(), Since: since.UTC(),
		})
	}
}

// stopPatience is for how long a stall may last when a process is to stop. Then the process ends without what stalls,
// as in a crash: nothing that was acknowledged is lost.
const stopPatience = 2 * watchdog.Limit

// A hungError says that a process that was to stop did not wait for something that makes no progress.
type hungError struct{ stall watchdog.Stall }

func (e *hungError) Error() string {
	return fmt.Sprintf("stopped without waiting longer: %v, since %s; no acknowledged commit is lost",
		e.stall,
		e.stall.Since.UTC().Format(time.RFC3339))
}

// hung returns what keeps a process from stopping: what has made no progress for too long, and was to end for as long.
func hung(members []*member, begun, now time.Time) error {
	var longest *watchdog.Stall
	for _, m := range members {
		for _, s := range m.c.board.Stalls(now) {
			if longest == nil || s.Since.Before(longest.Since) {
				longest = &s
			}
		}
	}
	if longest == nil || now.Sub(begun) < stopPatience || now.Sub(longest.Since) < stopPatience {
		return nil
	}
	return &hungError{*longest}
}

// untilHung is together, but returns as well when the process is to stop and something keeps it from that, such as a
// commit on a disk that does not answer. What it leaves running ends with the process.
func untilHung(ctx context.Context, members []*member, front front) error {
	ended := make(chan error, 1)
	go func() { ended <- together(ctx, members, front) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	begun := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case now := <-tick.C:
			if err := hung(members, begun, now); err != nil {
				return err
			}
		}
	}
}
