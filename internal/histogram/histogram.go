// Package histogram counts durations for percentiles. Observing one costs two atomic additions and allocates nothing,
// so that it can be done for each commit and each sync.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets double in two steps, from 8 microseconds to 268 seconds: a quantile is known to within a quarter of its
// value. The first bucket also has what is shorter, the last what is longer.
const (
	firstBit   = 3 // of microseconds
	bucketBits = 25
	buckets    = 2 * bucketBits
)

// A Histogram counts durations. The zero value is ready, and its methods may be called concurrently.
type Histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf returns in which bucket d is counted: the first one whose bound is not below it.
func bucketOf(d time.Duration) int {
	if d <= bound(0) {
		return 0
	}
	us := uint64((d - 1) / time.Microsecond) // a bound belongs to the bucket below it
	top := bits.Len64(us) - 1
	half := int(us >> (top - 1) & 1)
	return min(2*(top-firstBit)+half+1, buckets-1)
}

// bound returns the longest duration of a bucket.
func bound(i int) time.Duration {
	whole := time.Microsecond << (firstBit + i/2)
	if i%2 == 1 {
		return whole + whole/2
	}
	return whole
}

// A Snapshot is what a Histogram had counted at a moment.
type Snapshot struct {
	counts [buckets]uint64
	sum    time.Duration
}

// Snapshot returns what has been counted.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.counts[i] = h.counts[i].Load()
	}
	s.sum = time.Duration(h.sum.Load())
	return s
}

// Since returns what was counted after an earlier snapshot of the same Histogram. Where that has counted more, it is of
// another one, and all of s is new.
func (s Snapshot) Since(earlier Snapshot) Snapshot {
	later := s
	for i := range s.counts {
		if s.counts[i] < earlier.counts[i] {
			return s
		}
		later.counts[i] -= earlier.counts[i]
	}
	later.sum -= earlier.sum
	return later
}

// Count returns how many durations there are.
func (s Snapshot) Count() (n uint64) {
	for _, c := range s.counts {
		n += c
	}
	return n
}

// Sum returns how long they are together.
func (s Snapshot) Sum() time.Duration { return s.sum }

// Quantile returns the duration that a part q of all, from 0 to 1, does not exceed; 0 where there are none. Within a
// bucket they are taken to be spread evenly.
func (s Snapshot) Quantile(q float64) time.Duration {
	n := s.Count()
	if n == 0 {
		return 0
	}
	rank := q * float64(n)
	var below float64
	for i, c := range s.counts {
		if c == 0 || below+float64(c) < rank {
			below += float64(c)
			continue
		}
		var from time.Duration
		if i > 0 {
			from = bound(i - 1)
		}
		return from + time.Duration(float64(bound(i)-from)*(rank-below)/float64(c))
	}
	return bound(buckets - 1)
}

// Cumulative returns for each bucket but the last, by its bound in seconds, how many durations do not exceed it. It is
// the form in which Prometheus takes a histogram.
func (s Snapshot) Cumulative() map[float64]uint64 {
	list := make(map[float64]uint64, buckets-1)
	var n uint64
	for i := range buckets - 1 {
		n += s.counts[i]
		list[bound(i).Seconds()] = n
	}
	return list
}
