// Package primary feeds secondaries: it accepts their connections, decides whether each may follow, and streams the
// transactions of one storage to it, from wherever it is to the end and then as they are committed.
//
//	            ┌───────────── one peer ──────────────┐
//	Listener ──▶ accept ─▶ handshake ─▶ send ──────────▶ replication stream   T S B C …
//	                           │         ▲ zodb.Iterator
//	                           │         │
//	                           └▶ receive ◀────────────── control stream      Ack
//	                              beat ─────────────────▶                     Heartbeat, Goodbye
//
// # Two protocols
//
// The first message of a connection says what the peer speaks, and a dialect feeds it from there: native as above, or
// zrs2, the protocol of zc.zrs, which has one stream and no more:
//
//	accept ─▶ version, start ─▶ send ──────────────────▶ T S B C …
//	                            listen ◀──────────────── keep-alives, or nothing
//
// A zrs2 peer cannot be told why it is refused, and acknowledges nothing: what the connection has taken counts as sent,
// and what the peer has made of it is not known. docs/zrs-protocol.md has the rules and the reasons.
//
// # Who waits for whom
//
// Each peer has an iterator, an encoder and a session of its own and shares nothing with another but the storage,
// which is read by position and without the writer's lock. A slow secondary blocks its own sender in Write, with at
// most a window in flight and one buffer of 256 KiB here; what it has not taken yet stays in the file. A dead one is
// found by the session's keep-alive, by a write that times out, or by the silence of its acknowledgements, whichever
// comes first.
//
// Serve owns a goroutine per connection, that one the three goroutines of its peer, and each waits for what it owns.
// Shutdown stops accepting, lets every secondary catch up for a bounded time, says goodbye and returns when all are
// gone.
//
// # Who may follow
//
// See judge: same storage, common history, compatible files. A secondary that must not follow gets a typed refusal
// whose text tells its operator what to do; the same text is logged here, once per attempt, and the last ones are in
// Status.
//
// # Strangers
//
// Until a connection has proved who is there it has little: a place among MaxPerAddress of its address and maxUnproven
// in all, which it loses to newer ones, HandshakeTimeout in all, the smallest window, 64 KiB in all, and few lines in
// the log (see packages door and protocol, and places.go). Where there is a secret it is proved before the hello is
// read; where there is none, a hello is all the proof there is. Then secondaries, bids and questions about the history
// have places of their own kind. Whether the connection is encrypted is not known here.
//
// # What Status says
//
// Lag is counted from what the secondary has acknowledged as durable, never from what was sent, but for one that
// acknowledges nothing (SecondaryStatus.Silent). Where a figure cannot
// be known exactly it is a lower bound and says so (see Lag).
package primary
