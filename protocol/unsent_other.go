//go:build !linux

package protocol

import (
	"net"
	"time"
)

// limitUnsent does nothing where the system has no such limit.
func limitUnsent(net.Conn) error { return nil }

// LimitSilence does nothing where the system has no such limit.
func LimitSilence(net.Conn, time.Duration) error { return nil }

// Unacknowledged knows nothing where the system does not tell.
func Unacknowledged(net.Conn) (bytes int, known bool) { return 0, false }
