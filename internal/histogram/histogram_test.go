package histogram

import (
	"testing"
	"time"
)

func TestEachDurationIsCountedInTheFirstBucketWhoseBoundIsNotBelowIt(t *testing.T) {
	for i := range buckets - 1 {
		if at, after := bucketOf(bound(i)), bucketOf(bound(i)+1); at != i || after != i+1 {
			t.Errorf("the bound %v of bucket %d is in %d, what is longer in %d", bound(i), i, at, after)
		}
	}
	for _, d := range []time.Duration{-1, 0, 1} {
		if bucketOf(d) != 0 {
			t.Errorf("%v is in bucket %d", d, bucketOf(d))
		}
	}
	if at := bucketOf(time.Hour); at != buckets-1 {
		t.Errorf("an hour is in bucket %d", at)
	}
}

func TestAQuantileIsWithinItsBucket(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Observe(time.Duration(i+1) * time.Millisecond)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 500 * time.Millisecond}, {0.99, 990 * time.Millisecond}} {
		got := h.Snapshot().Quantile(c.q)
		if off := (got - c.want).Abs(); off > c.want/4 {
			t.Errorf("quantile %v is %v, want about %v", c.q, got, c.want)
		}
	}
	if none := (Snapshot{}).Quantile(0.5); none != 0 {
		t.Errorf("a quantile of nothing is %v", none)
	}
}

func TestSinceHasOnlyWhatCameAfter(t *testing.T) {
	var h Histogram
	h.Observe(time.Second)
	before := h.Snapshot()
	h.Observe(time.Millisecond)
	got := h.Snapshot().Since(before)
	if got.Count() != 1 || got.Sum() != time.Millisecond {
		t.Errorf("%d durations of %v together came after", got.Count(), got.Sum())
	}
	var begunAnew Histogram
	begunAnew.Observe(time.Minute)
	if got := begunAnew.Snapshot().Since(h.Snapshot()); got.Count() != 1 || got.Sum() != time.Minute {
		t.Errorf("of a histogram that was begun anew there are %d durations", got.Count())
	}
}

func TestTheLastCumulativeCountLacksOnlyTheLongest(t *testing.T) {
	var h Histogram
	h.Observe(time.Millisecond)
	h.Observe(time.Hour)
	list := h.Snapshot().Cumulative()
	if len(list) != buckets-1 || list[bound(buckets-2).Seconds()] != 1 || list[bound(0).Seconds()] != 0 {
		t.Errorf("the counts are %v", list)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("one observation allocates %v times", n)
	}
}
