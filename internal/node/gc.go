package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How the garbage collector is tuned. What is always in memory is the index, 8 bytes for each object without any
// pointer in it, so collecting is cheap however large it is. But Go by default lets as much garbage pile up as
// there is live memory: a node with an index of 800 MB would take 1.6 GB. Here a constant amount may pile up
// instead, whatever the size of the index: resident memory is the program and its buffers (some 48 MB), the index,
// and this slack.
const (
	slack        = 16 << 20 // bytes of garbage before the next collection
	minGCPercent = 5        // with an index above 320 MB the slack grows with it
	maxGCPercent = 100      // Go's default, for small ones
	governEvery  = time.Second
	liveMetric   = "/gc/heap/live:bytes"
)

// tuneGC adjusts the collector to the live memory until ctx ends.
func tuneGC(ctx context.Context) {
	tick := time.NewTicker(governEvery)
	defer tick.Stop()
	defer debug.SetGCPercent(debug.SetGCPercent(maxGCPercent))
	percent := maxGCPercent
	for {
		if want := gcPercent(liveBytes()); want < percent-percent/8 || want > percent+percent/8 {
			percent = want
			debug.SetGCPercent(percent)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// gcPercent is the setting with which about slack bytes of garbage pile up beside live bytes.
func gcPercent(live uint64) int {
	return int(min(max(slack*100/max(live, 1), minGCPercent), maxGCPercent))
}

// liveBytes returns how much memory was live at the end of the last collection.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: liveMetric}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
