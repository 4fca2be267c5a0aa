// Package client is a client of a ZEO server: enough of protocol 5 to read objects, to commit transactions with blobs,
// and to be told what others commit. It keeps no cache.
//
//	Load, Begin …    ──▶  calls, one message each, in the order of the callers   ──▶ server
//	Invalidated      ◀──  reader: invalidations and replies, in their order      ◀──
//
// A Conn has one goroutine, which reads; Close ends and joins it. What the server says of other clients' commits is
// handed to Options.Invalidated by that goroutine, before any reply that came behind it reaches its caller: whoever
// loads an object knows of every commit that the answer may show.
//
// # What became of a commit
//
//	Commit returns               the transaction
//	a tid                        is committed, and durable on the server
//	*UnknownError                may be there or not: the connection ended when tpc_finish was on its way
//	any other error              is not there, and never will be
//
// An error whose last word is the server's, a *ServerError or one of package zodb, leaves the connection as it was, and
// the transaction is to be aborted. Any other has ended the connection.
//
// # Contexts
//
// A context that ends while a call is under way ends the connection, too: the reply would come when nobody waits for
// it. A Conn does not come back; who wants to go on calls Dial again, with as many addresses as there are servers.
package client
