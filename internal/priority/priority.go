// Package priority lets work that may take its time go behind what somebody waits for: the kernel gives others the
// processor and the disk first. Only Linux knows threads that yield to others; elsewhere, and where the kernel refuses,
// nothing changes.
package priority

// A Level is how far work goes behind.
type Level struct {
	nice int // of the processor; see nice(2)
	disk int // see ioprio_set(2)
}

// The levels.
var (
	// Background is for work that somebody waits for, but not a client: it yields, and gets its share nevertheless.
	Background = Level{nice: 10, disk: ioprioBestEffort | 7}
	// Idle is for work for which nobody waits.
	Idle = Level{nice: 15, disk: ioprioIdle}
)

// Classes of ioprio_set(2).
const (
	ioprioBestEffort = 2 << 13
	ioprioIdle       = 3 << 13
)
