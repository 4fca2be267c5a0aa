// Package admission bounds what connections cost a server before they are authenticated: how many there are (Limiter),
// and how many lines they write into the log (LogLimiter). Both count by Source, so that one host, or one IPv6 network,
// counts once.
//
// No new connection is refused. When the limit is reached, the oldest unauthenticated connection is closed for the
// newest one: unauthenticated connections displace each other, never authenticated ones, and every peer that can
// authenticate gets in.
//
// The package starts no goroutine. A Limiter and a LogLimiter may be used concurrently.
package admission
