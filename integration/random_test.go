package integration

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// seededRand returns the randomness of a story. The seed is printed, and taken from ZRSD_SEED to play a story again.
func seededRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ZRSD_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ZRSD_SEED: %v", err)
		}
	}
	t.Logf("to play this again: ZRSD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rounds returns n, or ten times n in the long run.
func rounds(n int) int {
	if os.Getenv("ZRSD_LONG") == "1" {
		return 10 * n
	}
	return n
}

// moment lets a random time below limit pass: what happens next shall find the processes anywhere in their work.
func moment(ctx context.Context, d *rand.Rand, limit time.Duration) {
	timer := time.NewTimer(time.Duration(d.Int64N(int64(limit))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
