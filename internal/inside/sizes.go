package inside

import (
	"math"
	"sync"
)

// sizes are how many bytes the records of objects have in the file, by number, 4 GiB at most. Few have more than
// 64 KiB.
type sizes struct {
	small []uint16 // largeSize: it is in large
	mu    sync.Mutex
	large map[uint32]uint32
}

const largeSize = math.MaxUint16

func newSizes(count int) *sizes {
	return &sizes{small: make([]uint16, count), large: make(map[uint32]uint32)}
}

// set is for several goroutines, of which each has other numbers.
func (s *sizes) set(number uint32, size int64) {
	if size < largeSize {
		s.small[number] = uint16(size)
		return
	}
	s.small[number] = largeSize
	s.mu.Lock()
	defer s.mu.Unlock()
	s.large[number] = uint32(min(size, math.MaxUint32))
}

func (s *sizes) of(number uint32) int64 {
	if size := s.small[number]; size != largeSize {
		return int64(size)
	}
	return int64(s.large[number])
}
