package archive

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A Keep says which moments prune keeps. The newest complete generation, and what was begun after it, is always kept.
type Keep struct {
	Every       time.Duration // every transaction that is younger
	Daily       int           // the last moment of each of so many days before now
	Weekly      int           // likewise of weeks, which begin on Monday
	Monthly     int           // likewise of months
	Generations int           // so many of the newest generations, with all moments
}

// DefaultKeep is what prune keeps where nothing is said.
var DefaultKeep = Keep{Every: 7 * 24 * time.Hour, Daily: 30, Weekly: 13, Monthly: 12, Generations: 1}

// Check reports what makes no sense.
func (k *Keep) Check() error {
	if k.Every < 0 || k.Daily < 0 || k.Weekly < 0 || k.Monthly < 0 || k.Generations < 1 {
		return fmt.Errorf("keep %+v: give no negative numbers, and at least one generation", *k)
	}
	return nil
}

// moments returns the ends of the days, weeks and months of which the last moment is kept, all in UTC.
func (k *Keep) moments(now time.Time) (list []zodb.Tid) {
	now = now.UTC()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	monday := day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	add := func(t time.Time) {
		if tid, err := zodb.TidFromTime(t); err == nil {
			list = append(list, tid-1)
		}
	}
	for i := range k.Daily {
		add(day.AddDate(0, 0, -i))
	}
	for i := range k.Weekly {
		add(monday.AddDate(0, 0, -7*i))
	}
	for i := range k.Monthly {
		add(month.AddDate(0, -i, 0))
	}
	return list
}

// needed returns how many segments of its path each generation needs, by number; 0: none.
func (k *Keep) needed(list []*Generation, now time.Time, cut func(*Generation, zodb.Tid) (uint64, error)) (
	map[uint64]uint64, error) {
	need := map[uint64]uint64{}
	whole := func(g *Generation) { need[g.Generation] = g.Len() }
	complete := 0
	for i := len(list) - 1; i >= 0; i-- { // with that of now, all that may become it
		if complete < max(k.Generations, 1) {
			whole(list[i])
		}
		if list[i].Complete {
			complete++
		}
	}
	if complete == 0 {
		for _, g := range list {
			whole(g)
		}
		return need, nil
	}
	since, err := zodb.TidFromTime(now.Add(-k.Every))
	if err != nil {
		return nil, err
	}
	for i, g := range list { // those that serve a moment after since
		if until := servesUntil(list[i+1:]); g.Complete && k.Every > 0 && (until == Latest || until >= since) {
			whole(g)
		}
	}
	for _, tid := range k.moments(now) {
		g, at, err := of(list, tid)
		if err != nil {
			continue // it is before the archive
		}
		n, err := cut(g, at)
		if err != nil {
			return nil, err
		}
		need[g.Generation] = max(need[g.Generation], n)
	}
	return need, nil
}

// servesUntil returns the moment up to which a generation is restored from, before these later ones.
func servesUntil(later []*Generation) zodb.Tid {
	for _, g := range later {
		if g.Complete {
			return g.Since
		}
	}
	return Latest
}
