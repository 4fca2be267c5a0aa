package wire

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestWhatIsAnnouncedCostsNoMemoryBeforeItIsThere(t *testing.T) {
	const size = 64 << 10
	for name, code := range map[string]byte{"arrays": 0xdd, "maps": 0xdf} {
		var body []byte
		for range 90 { // each within the other, and each with as much as there are bytes
			body = binary.BigEndian.AppendUint32(append(body, code), size-1000)
			if code == 0xdf {
				body = append(body, 0x01) // a key
			}
		}
		body = append(body, make([]byte, size)...)
		c := codec(t, M5)
		var err error
		if n := allocated(func() { _, err = c.Decode(body) }); err == nil || n > 200*size {
			t.Errorf("%s of %d bytes: %d bytes allocated, %v", name, len(body), n, err)
		}
	}
}

func TestAMessageOfTooManyValuesIsRefused(t *testing.T) {
	defer func(n int) { limits.Values = n }(limits.Values)
	limits.Values = 1000
	many := binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(limits.Values))
	for range limits.Values {
		many = append(many, 0xc0)
	}
	var limit *pickle.LimitError
	if _, err := codec(t, M5).Decode(many); !errors.As(err, &limit) || limit.What != "values" {
		t.Errorf("got %v", err)
	}
}
