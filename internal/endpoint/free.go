package endpoint

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// Ports from which FreeAddress chooses.
const (
	firstPort = 12000
	manyPorts = 20000
)

// ports are the order in which this process is given them: at random, so that processes beside each other meet seldom,
// and each one once, also where nobody listens there yet.
var ports = sync.OnceValue(func() []int { return rand.Perm(manyPorts) }) //nolint:gosec // no secret

var portsGiven atomic.Int64

// FreeAddress returns an address on the loopback interface on which no process listens now, and which this process was
// not given before. It is below the range from which the system takes ports for outgoing connections, so that it stays
// free until a server of ours takes it, also across restarts.
func FreeAddress(ctx context.Context) (string, error) {
	var last error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+ports()[portsGiven.Add(1)%manyPorts])
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("looking for a free port: %w", last)
}
