// Package client is a client of a ZEO server: enough of protocol 5 to read objects, to commit transactions with blobs,
// and to get the invalidations of other clients' commits. It keeps no cache.
//
//	Load, Begin …    ──▶  calls, one message each, in the order of the callers   ──▶ server
//	Loads            ──▶  many loads at a time                                   ──▶
//	Invalidated      ◀──  reader: invalidations and replies, in their order      ◀──
//
// A Conn has one goroutine, which reads; Close ends and joins it. That goroutine gives invalidations
// to Options.Invalidated, before any reply that came after them reaches its caller: a caller that
// loads an object knows of every commit that the answer may show.
//
// # What became of a commit
//
//	Commit returns               the transaction
//	a tid                        is committed, and durable on the server
//	*UnknownError                may be there or not: the connection ended when tpc_finish was on its way
//	any other error              is not there, and never will be
//
// An error that the server sent, a *ServerError or one of package zodb, leaves the connection as it was, and
// the transaction is to be aborted. Any other has ended the connection.
//
// # Contexts
//
// A context that ends while a call is under way ends the connection, too: the reply would come when nobody waits for
// it. A Conn does not reconnect; to continue, call Dial again, with the addresses of all servers.
package client
