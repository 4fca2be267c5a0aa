// Package admission bounds what connections cost a server before they are authenticated: how many there are (Room), and how
// many lines they write into the log (Quiet). Both count by Source, so that one host, or one IPv6 network, counts once.
//
// No new connection is refused. When all places are taken, the oldest unauthenticated connection is closed for the
// newest one: unauthenticated connections take places from each other, never from authenticated ones, and every peer
// that can authenticate gets a place.
//
// The package starts no goroutine. A Room and a Quiet may be used concurrently.
package admission
