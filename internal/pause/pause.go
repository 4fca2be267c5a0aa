// Package pause waits where there is no event to wait for: before something is tried again.
package pause

import (
	"context"
	"time"
)

// For waits for d and reports whether it has passed; otherwise ctx has ended.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
