package packplan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// How late things may be.
const (
	// Late is how long after a scheduled time its round is begun at the latest: later it might meet the day's work.
	Late = 2 * time.Hour
	// longest is how long a round may take, where the next time does not come before.
	longest = 24 * time.Hour
	// farthest is how far back it is looked for times that nobody has met.
	farthest = 366 * 24 * time.Hour
)

// A Member is what is known of a node, now.
type Member struct {
	ID, Name string
	Out      string // why no node may pack now; empty: this one does not hinder it
	Packing  bool   // for whatever reason
	State    *State // nil: it makes no packs by schedule
}

// A State is what a node says of its packs by schedule, to people and to other nodes.
type State struct {
	Schedule string     `json:"schedule"`
	Days     int        `json:"days"`
	Next     *time.Time `json:"next"`   // the next scheduled time; that of the primary counts
	Since    time.Time  `json:"since"`  // what was scheduled before is none of this node's business
	Done     *time.Time `json:"done"`   // the last scheduled time for which it packed, or tried to
	Ended    *time.Time `json:"ended"`  // when that ended
	Failed   *string    `json:"failed"` // why that failed; nil: it did not
	Turn     *Turn      `json:"turn"`   // who is to pack now, by the primary's word; nil: nobody
	Waits    *string    `json:"waits"`  // why nobody is, although a time has come; nil: none has
	LeftOut  *LeftOut   `json:"left_out"`
}

// A Turn is a pack that a node is to make.
type Turn struct {
	Node  string    `json:"node_id"`
	Time  time.Time `json:"time"`  // for which scheduled time
	Until time.Time `json:"until"` // to which time it is to be packed
}

// A LeftOut is a scheduled time at which not all nodes have packed.
type LeftOut struct {
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
}

// settled is up to when the node has nothing more to do.
func (s *State) settled() time.Time {
	if s.Done != nil && s.Done.After(s.Since) {
		return *s.Done
	}
	return s.Since
}

// A Decision is what a primary does next.
type Decision struct {
	Time    time.Time // the scheduled time that is under way; zero: none is
	Turn    *Member   // who is to pack; nil: nobody
	Waits   string    // why nobody is although there is somebody who has to
	LeftOut string    // why Time is given up; empty: it is not
}

// Decide returns what a primary does next, which is the first member; or a node that is alone.
func Decide(s *Schedule, now time.Time, members []Member) Decision {
	done, since := latestDone(members, now), members[0].State.Since
	if todo := waiting(members, done); since.Before(done) && len(todo) > 0 {
		d := decide(done, todo, members)
		if d.Turn == nil || !d.Turn.Packing {
			d.giveUp(now, s.Next(done), longest)
		}
		return d
	}
	due := s.last(latest(done, since, now.Add(-farthest)), now)
	if due.IsZero() {
		return Decision{}
	}
	d := decide(due, waiting(members, due), members)
	d.giveUp(now, s.Next(due), Late)
	return d
}

// Missed returns the last scheduled time at which a secondary should have had its turn and had none; zero: there is no
// such time.
func Missed(s *Schedule, now time.Time, own *State) time.Time {
	return s.last(latest(own.settled(), now.Add(-farthest)), now.Add(-longest))
}

// decide says whose turn it is, of those who have to pack.
func decide(at time.Time, todo []*Member, members []Member) Decision {
	d := Decision{Time: at}
	for i := range members {
		switch m := &members[i]; {
		case m.Packing && slices.Contains(todo, m):
			d.Turn = m
			return d
		case m.Packing:
			d.Waits = fmt.Sprintf("%s is being packed", m.Name)
		case m.Out != "" && d.Waits == "":
			d.Waits = m.Out
		}
	}
	if d.Waits == "" && len(todo) > 0 {
		d.Turn = todo[0]
	}
	return d
}

// giveUp ends a time that is too late, or has been replaced by the next one.
func (d *Decision) giveUp(now, next time.Time, after time.Duration) {
	if now.Sub(d.Time) < after && (next.IsZero() || now.Before(next)) {
		return
	}
	d.LeftOut = cmp.Or(d.Waits, "there was no time for it: the server was not running, or other nodes took too long")
	d.Turn, d.Waits = nil, ""
}

// waiting returns those who have to pack for a scheduled time: the primary first, then by their names.
func waiting(members []Member, at time.Time) (list []*Member) {
	for i := range members {
		if m := &members[i]; m.State != nil && m.State.settled().Before(at) {
			list = append(list, m)
		}
	}
	others := list
	if len(list) > 0 && list[0] == &members[0] {
		others = list[1:]
	}
	slices.SortStableFunc(others, func(a, b *Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// latestDone returns the last scheduled time for which a node has packed. What is of the future is not believed.
func latestDone(members []Member, now time.Time) (t time.Time) {
	for i := range members {
		if s := members[i].State; s != nil && s.Done != nil && s.Done.After(t) && !s.Done.After(now) {
			t = *s.Done
		}
	}
	return t
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
