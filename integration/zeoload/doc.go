// Package zeoload plays many clients of a ZEO server at once, at the level of messages: no cache, no pickles of
// objects, nothing that a client does for itself, so that the server and not the client is what a measurement finds.
//
//	Conn      one connection, past its handshake and registration
//	Loads     keeps a number of loads in flight on each of a set of connections
//	Commits   commits one transaction after the other on each of a set of connections
//	Outcome   how many, in which time, and how long each took
//
// It speaks protocol Z5, which every server offers by default. Messages are put together from fixed parts, since a
// generator that shares the machine with the server must cost less than the server does.
package zeoload
