package watchdog

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// tellEvery is how often a stall that lasts is logged.
const tellEvery = time.Minute

// A Dog logs the stalls of a board: when they begin, now and then while they last, and when they end. The log is
// bounded by the places on the board.
type Dog struct {
	board *Board
	log   hclog.Logger
	told  map[string]telling // by Who
}

type telling struct {
	stall Stall
	at    time.Time
}

// NewDog returns a Dog for a board.
func NewDog(b *Board, log hclog.Logger) *Dog {
	return &Dog{board: b, log: log, told: map[string]telling{}}
}

// Look logs the stalls of a time. It is for one goroutine, which calls it every second or so.
func (d *Dog) Look(now time.Time) {
	still := map[string]bool{}
	for _, s := range d.board.Stalls(now) {
		if still[s.Who] { // the longest one of several is told of
			continue
		}
		still[s.Who] = true
		if last, known := d.told[s.Who]; known && last.stall.Since.Equal(s.Since) && now.Sub(last.at) < tellEvery {
			continue
		}
		d.log.Error("no progress: "+s.String(), "for", now.Sub(s.Since).Round(time.Second))
		d.told[s.Who] = telling{s, now}
	}
	for who, last := range d.told {
		if !still[who] {
			delete(d.told, who)
			d.log.Warn("progress again: "+last.stall.String()+" no longer", "after",
				now.Sub(last.stall.Since).Round(time.Second))
		}
	}
}
