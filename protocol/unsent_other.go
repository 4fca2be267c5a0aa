//go:build !linux

package protocol

import "net"

// limitUnsent does nothing where the system has no such limit.
func limitUnsent(net.Conn) error { return nil }
