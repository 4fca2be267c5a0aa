// Package wire is how ZEO's messages look: sizes, tuples and the two encodings of protocol 5. It knows neither sockets'
// lifetimes nor what the messages mean.
//
//	+------+--------------------------------------+
//	| size | (id, flag, method, arguments)        |   size: 4 bytes, big-endian, not counting itself
//	+------+--------------------------------------+
//
//	kind                        id               flag  method    arguments
//	call that wants a reply     the client's     0     its name  a tuple
//	call that wants none        0                1     its name  a tuple
//	reply                       that of the call 0     .reply    the result
//	error                       that of the call 2     .reply    (class name, details)
//	keep-alive of a client      -1               0     .reply    None
//
// An id is any value, and goes back as it came: that of loadBefore is the pair of its arguments.
//
// The server announces an encoding with its first message, "Z5" or "M5", and the client answers with its choice. Z is a
// pickle of protocol 3, M is msgpack. Either gives the values of package pickle; M knows no lists, and reads them as
// tuples. Bytes of a decoded message are parts of what was decoded.
package wire
