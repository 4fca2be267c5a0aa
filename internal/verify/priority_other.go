//go:build !linux

package verify

// withLowPriority runs f: only Linux knows threads that yield to others.
func withLowPriority(f func()) { f() }
