// Package zeoload plays many clients of a ZEO server at once: no cache, no pickles of objects, nothing that an
// application does for itself, so that the server and not the client is what a measurement finds. The connections are
// those of package client.
//
//	Dial      connects as ZEO's own client does
//	Writer    commits to objects of its own, one transaction after the other
//	Loads     keeps a number of loads in flight on each of a set of connections
//	Commits   commits one transaction after the other on each of a set of connections
//	Steady    commits at a fixed pace on each of a set of connections
//	StoreBlob commits a blob
//	Outcome   how many, in which time, and how long each took
//
// A generator that shares the machine with the server must cost less than the server does. What it costs is system
// calls: see client.Conn.Loads.
package zeoload
