package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/recovered"
)

// The status page shows the last hour, in memory only. Of the room on disks one number an hour is kept, for two weeks.
const (
	sampleEvery  = 5 * time.Second
	maxSamples   = int(time.Hour / sampleEvery)
	recentFor    = time.Minute // of what rates and percentiles are
	maxLags      = 8           // secondaries in a sample
	maxDiskHours = 14 * 24
	maxDisks     = 4
)

// A sample is how a storage was at a moment.
type sample struct {
	at   time.Time
	zeo  *ZEO // counts
	sync *histogram.Snapshot
	lags []namedLag
	rate rates
}

// A namedLag is how far a secondary is behind.
type namedLag struct {
	name string
	Lag
}

// rates are of the minute before a moment; nil: not known.
type rates struct {
	Commits, Loads, Stores, Conflicts *float64 // a second
	CommitP50, CommitP99, SyncP99     *float64 // seconds
}

// A diskHour is how much was free on a disk.
type diskHour struct {
	at   time.Time
	free int64
}

// A history is the last hour of a storage. It may be used concurrently.
type history struct {
	src Source

	mu      sync.Mutex
	samples []sample // the oldest first
	disks   map[string][]diskHour
}

// Histories are those of all storages of a process, by their names; a process of one storage has it without a name.
type histories map[string]*history

func newHistories(src Source) histories {
	several, are := src.(Sources)
	if !are {
		return histories{"": newHistory(src)}
	}
	all := histories{}
	for _, name := range several.Names() {
		all[name] = newHistory(several.Storage(name))
	}
	return all
}

func newHistory(src Source) *history { return &history{src: src, disks: map[string][]diskHour{}} }

// run takes samples until ctx ends. A panic over one costs that one.
func (hs histories) run(ctx context.Context, log hclog.Logger) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, h := range hs {
			_ = recovered.Do(log, "noting how the storage is", func() error { // it is logged
				st := h.src.Status()
				h.add(&st)
				return nil
			})
		}
	}
}

// add takes one sample.
func (h *history) add(st *Status) {
	s := sample{at: st.Now, zeo: st.ZEO, lags: lagsOf(st)}
	if st.Storage.Sync != nil {
		s.sync = &st.Storage.Sync.Times
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.rate = h.ratesUntil(&s)
	if h.samples = append(h.samples, s); len(h.samples) > maxSamples {
		h.samples = slices.Delete(h.samples, 0, len(h.samples)-maxSamples)
	}
	for i := range h.samples { // only rates are of use later
		if old := &h.samples[i]; st.Now.Sub(old.at) <= recentFor+sampleEvery {
			break
		} else {
			old.zeo, old.sync = nil, nil
		}
	}
	h.addDisks(st)
}

// lagsOf returns how far behind those are of which the node knows: it, and the nodes that follow it.
func lagsOf(st *Status) (list []namedLag) {
	if st.Upstream != nil {
		list = append(list, namedLag{st.Name, st.Upstream.Lag})
	}
	for _, s := range slices.Concat(st.Secondaries, st.Disconnected) {
		known := func(l namedLag) bool { return l.name == s.Name }
		if s.Name != "" && len(list) < maxLags && !slices.ContainsFunc(list, known) {
			list = append(list, namedLag{s.Name, s.Lag})
		}
	}
	return list
}

// ratesUntil compares a sample with the first one of the minute before it. Counts that fell began anew meanwhile. It is
// called with mu held.
func (h *history) ratesUntil(s *sample) (r rates) {
	at := slices.IndexFunc(h.samples, func(old sample) bool { return s.at.Sub(old.at) <= recentFor })
	if at < 0 {
		return r
	}
	old := &h.samples[at]
	seconds := s.at.Sub(old.at).Seconds()
	if s.zeo != nil && old.zeo != nil && seconds > 0 {
		rate := func(now, then int64) *float64 {
			if now < then {
				return nil
			}
			return Known(float64(now-then) / seconds)
		}
		r.Commits, r.Loads = rate(s.zeo.Commits, old.zeo.Commits), rate(s.zeo.Loads, old.zeo.Loads)
		r.Stores, r.Conflicts = rate(s.zeo.Stores, old.zeo.Stores), rate(s.zeo.Conflicts, old.zeo.Conflicts)
		if d := DurationsOf(s.zeo.Commit.Times.Since(old.zeo.Commit.Times)); d.Count > 0 {
			r.CommitP50, r.CommitP99 = d.P50, d.P99
		}
	}
	if s.sync != nil && old.sync != nil {
		r.SyncP99 = DurationsOf(s.sync.Since(*old.sync)).P99
	}
	return r
}

func (h *history) addDisks(st *Status) {
	for _, d := range st.Storage.Disks {
		hours, known := h.disks[d.Folder]
		if d.Error != nil || !known && len(h.disks) == maxDisks ||
			len(hours) > 0 && st.Now.Sub(hours[len(hours)-1].at) < time.Hour {
			continue
		}
		hours = append(hours, diskHour{st.Now, d.Free})
		h.disks[d.Folder] = hours[max(0, len(hours)-maxDiskHours):]
	}
}

// recent returns the rates of the last minute.
func (h *history) recent() rates {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == 0 {
		return rates{}
	}
	return h.samples[len(h.samples)-1].rate
}

// all returns the samples of the last hour. They are not changed any more, but for counts.
func (h *history) all() []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.samples)
}

// minDiskTime is how long it must be known how a disk was before a day is told on which it will be full.
const minDiskTime = 6 * time.Hour

// A fullDay says when a disk will be full, if what is written to it stays what it was.
type fullDay struct {
	known bool      // it has been known for long enough how it was
	at    time.Time // zero: it does not fill up
}

// before puts before the first measurement what was free when the data file was shorter; of the disk that has it, and
// as far as nothing else was written.
func before(hours []diskHour, growth []Size, free int64, now time.Time) (list []diskHour) {
	if len(growth) == 0 {
		return hours
	}
	if len(hours) == 0 {
		hours = []diskHour{{now, free}}
	}
	first, last := hours[0], growth[len(growth)-1]
	for _, g := range growth {
		if g.At.Before(first.at) {
			list = append(list, diskHour{g.At, first.free + last.Bytes - g.Bytes})
		}
	}
	return append(list, hours...)
}

// fullDay looks at a disk with so much free now: the line through all that is known which is nearest to it. The growth
// is that of the data file, where it is on this disk.
func (h *history) fullDay(d *Disk, growth []Size, now time.Time) fullDay {
	h.mu.Lock()
	hours := h.disks[d.Folder]
	h.mu.Unlock()
	hours = before(hours, growth, d.Free, now)
	if len(hours) < 2 || hours[len(hours)-1].at.Sub(hours[0].at) < minDiskTime-time.Hour {
		return fullDay{}
	}
	var meanX, meanY float64
	for _, p := range hours {
		meanX += p.at.Sub(now).Hours() / float64(len(hours))
		meanY += float64(p.free) / float64(len(hours))
	}
	var above, below float64
	for _, p := range hours {
		x := p.at.Sub(now).Hours() - meanX
		above += x * (float64(p.free) - meanY)
		below += x * x
	}
	slope := above / below // bytes an hour
	const never = 10 * 365 * 24
	if left := float64(d.Free) / -slope; slope < 0 && left < never {
		return fullDay{known: true, at: now.Add(time.Duration(left * float64(time.Hour)))}
	}
	return fullDay{known: true}
}
