// Package feed tells other programs what was committed: one JSON document a transaction, in the order of the file, each
// exactly once where the place that they go to can keep the cursor with them.
//
//	storage, or a node's stream ──▶ Document ──▶ Run ──▶ Sink
//	                                                      ├─ Writer  standard output: the reader keeps the cursor
//	                                                      ├─ File    the last whole line is the cursor
//	                                                      ├─ HTTP    CloudEvents; the cursor is a file of its own
//	                                                      ├─ JetStream   the last message is the cursor
//	                                                      └─ Kafka   the cursor is in the transaction of the data
//
// # Cursor
//
// The cursor is the tid of the last transaction that the sink has durably. After any end, a power failure included, a
// feed asks its sink for the cursor and goes on after it. A File has data and cursor in the same bytes, so each
// transaction is in it exactly once: what comes after the last whole line is cut off. A server of HTTP that answered,
// while the answer or the cursor was lost, gets the transaction again, with the same id.
//
// # Back pressure
//
// One batch is in memory: a source is not read while a sink is written. A batch is what the source has without waiting,
// up to maxBatch bytes or one document.
package feed
