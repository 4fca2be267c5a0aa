// Package wire has the format of ZEO's messages: sizes, tuples and the two encodings of protocol 5. It does not know
// connections, nor the meaning of the messages.
//
//	+------+--------------------------------------+
//	| size | (id, flag, method, arguments)        |   size: 4 bytes, big-endian, not counting itself
//	+------+--------------------------------------+
//
//	kind                        id               flag  method    arguments
//	call with a reply           the client's     0     its name  a tuple
//	call without a reply        0                1     its name  a tuple
//	reply                       that of the call 0     .reply    the result
//	error                       that of the call 2     .reply    (class name, details)
//	keep-alive of a client      -1               0     .reply    None
//
// An id is any value, and is returned unchanged: that of loadBefore is the pair of its arguments.
//
// The server announces an encoding with its first message, "Z5" or "M5", and the client answers with its choice. Z is a
// pickle of protocol 3, M is msgpack. Either gives the values of package pickle; M knows no lists, and reads them as
// tuples. Bytes of a decoded message are parts of what was decoded.
package wire
