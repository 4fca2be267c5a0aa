package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// FreeAddress returns an address on the loopback interface where nobody listens now. It lies below the range from which
// the system takes ports for outgoing connections, so that it stays free until a server of ours takes it, again and
// again across restarts.
func FreeAddress(ctx context.Context) (string, error) {
	var last error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000)) //nolint:gosec // no secret
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("looking for a free port: %w", last)
}
