// Package zrs is the wire protocol of the Python package zc.zrs, in its versions zrs2.0 (no blobs) and zrs2.1:
// messages, pickles and the running digest. It knows nothing of connections and storages; primary and secondary do.
//
// Everything is a sized message: 4 bytes of length, big-endian, then as many bytes; none at all is a keep-alive.
//
//	secondary -> primary                     primary -> secondary, for each transaction
//	+----+---------+                        +----+-------------------------------------------+
//	|  6 | zrs2.1  |                        |  n | ('T', (tid, status, user, description,    |
//	+----+---------+                        |    |        extension))                        |
//	|  8 | its last|                        +----+-------------------------------------------+
//	|    | tid or 0|                        |  n | ('S', (oid, serial, '', data tid or None))| each record
//	+----+---------+                        |  n | data                                      |
//	|  0 | from    |                        +----+-------------------------------------------+ or, with a blob,
//	|  0 | time to |                        |  n | ('B', (oid, serial, '', data tid or None, |
//	|  … | time    |                        |    |        blocks))                           |
//	+----+---------+                        |  n | data                                      |
//	                                        |  n | 64 KiB of the blob, × blocks              |
//	                                        +----+-------------------------------------------+
//	                                        |  n | ('C', (digest,))                          |
//	                                        +----+-------------------------------------------+
//
// The first two, S, B and C are pickles; package pickle reads and writes them. The digest is MD5 over the
// secondary's tid and then the content of every message from the primary, up to the C that carries it; it continues
// after it, and is never begun anew on a connection.
//
// # What this protocol does not carry
//
//   - The extension of a transaction is sent as a dictionary, so the bytes of the primary's file are lost. The Decoder
//     gives what ZODB would write for that dictionary; values that this package does not understand stay in it.
//   - Transactions of status 'u' are not sent: to Python they do not exist.
//   - Whether a record has a predecessor is unknown. HasPrev is always true, which means for the storage: the one that
//     it has, if any; zc.zrs's secondaries do the same.
//   - The size of a blob is known only at its end (BlobSize is zodb.UnknownSize), except for an empty one.
//
// The Encoder writes byte for byte what a primary on Python 3 does. The Decoder reads primaries on Python 2, too, which
// write byte strings where the others write calls that make bytes.
package zrs
