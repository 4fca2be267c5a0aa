// Package secondary follows a primary: it connects, applies the primary's transactions to a storage of its own, and
// does so again whenever the connection ends, for as long as it runs.
//
//	             ┌───────────────── one connection ─────────────────┐
//	Run ─▶ dial ─▶ handshake ─▶ apply ◀──────────────── replication stream   T S B C …
//	 ▲                           │ filestorage.Txn: Restore, Enqueue
//	 │                           ▼
//	 │                          acknowledge ─────────▶ control stream        Ack
//	 └── wait ◀── why it ended ◀ listen ◀────────────                        Heartbeat, Goodbye
//
// # What is applied
//
// A transaction goes into the file while it arrives and is handed over for commit only after its digest was found
// right. An error before that aborts it, and nothing of it is ever visible. The storage commits in groups: what is
// visible is durable, so there is one position, the storage's last tid, from which each connection continues. A
// connection ends only when everything that it handed over is durable or failed.
//
// Reading the network, applying, and syncing the disk overlap without further buffers: the session reads ahead up to
// its window, apply works on what has arrived, the storage syncs one group while the next is written.
//
// The file becomes byte for byte what the primary's is, for as long as neither side packs on its own, with one
// exception: a record that the primary wrote on top of a transaction that was later marked undone ('u') is linked here
// to the record before that one, because the stream says only that there is a predecessor. Its content is the
// same.
//
// # Who may be followed
//
// The primary decides whether the two sides share a history, from the last transaction's tid and digest. A
// secondary without an identity takes the primary's. The identity in a welcome is covered by no digest, so it
// is accepted when the primary confirms it: a second connection sends the id and receives it again.
//
// # Seeding
//
// Where the primary has much more than this storage, and names the capability for it, its data file is taken as it is
// in place of transactions (seed.go), and appended in order by filestorage.Appender, which checks it, with the blobs
// that its records need (seed_blobs.go):
//
//	handshake ─▶ fetch ─▶ verified parts ─▶ Appender ◀─ stage     streams of ranges    requests, answers
//	                                        tellSeeded ─────────▶ control stream       Ack
//
// The connection ends when all is here that the primary had, and the next hello proves that it is the same history.
// What is not byte for byte the same is not taken; then the transactions come one by one, from that address for good.
//
// # A primary that speaks zrs2
//
// A zc.zrs primary sends transactions and nothing else (see protocol.go for the choice of the protocol, zrs2.go for the
// connection). It cannot check who follows it, so that is done here: the stream is requested from the transaction
// before our last one, and must begin with our last one, which is compared and not stored (see continuity.go). It does
// not report its end either: the end is assumed when nothing arrives for a while (see zrs2_status.go).
//
//	Run ─▶ dial ─▶ version, start ─▶ continuity ─▶ apply ◀──── T S B C …
//	                                 watch      acknowledge: nothing
//	                                 keepAlive ───────────▶ empty messages
//
// # Shared blobs
//
// Where both sides see one blob directory (Options.SharedBlobs), blobs are not sent. Each connection begins with
// the proof that the directory is the primary's, and each transaction waits until its blobs are visible. So every
// transaction that becomes visible here has its blobs, also when the directory was unmounted or another was mounted in
// its place. Nothing is ever written into it.
//
// # Retries
//
// Everything is retried, forever; the cause decides how soon (see reconnect_delay.go) and what Status shows meanwhile.
//
//	connection refused, lost, silent, stalled,    StateWaiting   exponential backoff with jitter
//	damaged
//	the storage refuses, as with a full disk      StateFailed    exponential backoff with jitter
//	refused by the primary for good, out of       StateRefused   the maximum: an operator must act, here or
//	order, too large, diverged, closed time                      there. The first time counts as damage
//	after time
//
// The backoff begins anew only after progress: a transaction made durable, or the end of the primary's file reached. A
// state is left when the primary accepts the next connection. The log has each cause once, until it changes.
//
// Run ends when its context ends, and with a *StorageError when the storage must be closed and opened again before it
// can take another transaction. Then the caller must do so, with everything else that uses the storage.
//
// # Goroutines
//
// Run owns one goroutine for each arrow above and has joined them when it returns.
package secondary
