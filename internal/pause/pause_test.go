package pause

import (
	"context"
	"testing"
	"time"
)

func TestAPauseEndsWithItsTimeOrItsContext(t *testing.T) {
	if !For(t.Context(), time.Nanosecond) {
		t.Error("a pause was interrupted by nothing")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if For(ended, time.Hour) {
		t.Error("a pause whose context has ended took its time")
	}
	if For(ended, 0) {
		t.Error("of time and context the context counts")
	}
}
