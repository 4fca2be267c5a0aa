package admin

import (
	"strings"
	"sync"

	"github.com/zrsd/zrsd/internal/printable"
)

// otherLabel is the label for all that would be too many.
const otherLabel = "other"

// How many names of secondaries have series of their own while the process lives, and how long these names are. Peers
// say how they are called, and Prometheus keeps each series for months.
const (
	maxNames = 64
	maxName  = 120
)

// names are those that have been labels. It may be used concurrently.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

// label returns the label for the name of a peer.
func (n *names) label(name string) string {
	name = printable.Short(strings.ToValidUTF8(name, "?"), maxName)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[name] {
		return name
	}
	if len(n.seen) >= maxNames {
		return otherLabel
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[name] = true
	return name
}
