// Package primary serves secondaries: it accepts their connections, decides whether each may follow, and streams the
// transactions of one storage to it, from its last transaction to the end and then as they are committed.
//
//	            ┌───────────── one peer ──────────────┐
//	Listener ──▶ accept ─▶ handshake ─▶ send ──────────▶ replication stream   T S B C …
//	                           │         ▲ zodb.Iterator
//	                           │         │
//	                           └▶ receive ◀────────────── control stream      Ack
//	                              heartbeats ───────────▶                     Heartbeat, Goodbye
//
// # Two protocols
//
// The first message of a connection names the protocol of the peer, and a handler of that protocol serves it from
// there: native as above, or zrs2, the protocol of zc.zrs, which has one stream and no more:
//
//	accept ─▶ version, start ─▶ send ──────────────────▶ T S B C …
//	                            listen ◀──────────────── keep-alives, or nothing
//
// A zrs2 peer cannot get the reason of a refusal, and acknowledges nothing: what the connection has accepted counts as
// sent, and whether the peer stored it is not known. docs/zrs-protocol.md has the rules and the reasons.
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
// Shutdown stops accepting, lets every secondary catch up for a bounded time, sends a goodbye and returns when all
// connections have ended.
//
// # Seeding
//
// A secondary whose data file is the beginning of ours, byte for byte, may ask for the rest of it as it is, and for
// blobs (seed.go). It gets them from a snapshot, which a pack leaves readable; at most SeedOptions.Max secondaries at a
// time, one buffer of protocol.MaxRange for each of at most four streams. Its acknowledgements count for no commit.
//
// # Who may follow
//
// See checkHello: same storage, common history, compatible files. A secondary that must not follow gets a typed refusal
// whose text says what its operator must do; the same text is logged here, once per attempt, and the last ones are in
// Status.
//
// # Unauthenticated connections
//
// Until a connection is authenticated it has little: a place among MaxPerAddress of its address and maxUnproven
// in all, which it loses to newer ones, HandshakeTimeout in all, the smallest window, 64 KiB in all, and few lines in
// the log (see packages admission and protocol, and slots.go). With a secret, authentication comes before the hello is
// read; without one, a hello is enough. Then secondaries, requests for status and votes, and questions about the
// history have places of their own kind. Whether the connection is encrypted is not known here.
//
// # Status
//
// Lag is counted from what the secondary has acknowledged as durable, never from what was sent, except for one that
// acknowledges nothing (SecondaryStatus.Silent). A figure that is not known exactly is a lower bound and marked as one
// (see Lag).
package primary
