// Package zeoload plays many clients of a ZEO server at once, at the level of messages: no cache, no pickles of
// objects, nothing that a client does for itself, so that the server and not the client is what a measurement finds.
//
//	Conn      one connection, past its handshake and registration: it packs, transfers blobs, waits for invalidations
//	Writer    commits to objects of its own, one transaction after the other
//	Loads     keeps a number of loads in flight on each of a set of connections
//	Commits   commits one transaction after the other on each of a set of connections
//	Steady    commits at a fixed pace on each of a set of connections
//	Outcome   how many, in which time, and how long each took
//
// It speaks protocol Z5, which every server offers by default, or M5 to a server that announces that: then messages are
// turned from the one into the other. Messages are put together from fixed parts, and taken
// apart where the servers put theirs: both write pickles of one form, without memo.
//
//	size  80 03 '('  id  flag  'X' name  arguments or result  't' '.'
//	                 'K' n                                              n: a number of ours
//	                 'C' 8 oid 'C' 8 tid 86                             of a load
//	                      'K' n, 88 or 89
//
// A generator that shares the machine with the server must cost less than the server does. What it costs is system
// calls: while replies are at hand, calls are buffered, so that a burst of the one is a burst of the other.
package zeoload
