// Package zodb is the vocabulary that every other package of zrsd speaks: object and transaction ids, the time that a
// tid encodes, transactions and records as they travel between a storage, a stream and another storage, the small
// interfaces shared by their consumers, and the errors of the field.
//
// # Ids
//
// A Tid and an Oid are 64-bit numbers that files and wires carry as 8 bytes, big-endian. Both print as 16 hexadecimal
// digits. A tid is also a time:
//
//	 63            32 31             0
//	+----------------+----------------+
//	| minutes        | ticks          |
//	+----------------+----------------+
//	  minutes: since 1900-01-01, in a calendar whose months all have 31 days
//	  ticks:   of 60 s / 2^32 (about 14 ns) within that minute
//
// # How a transaction travels
//
//	Iterator ──Next──▶ Transaction ──NextRecord──▶ Record{…, Data io.Reader, Blob io.Reader}
//
// The same Record value goes from a storage's iterator into a stream's encoder, comes out of the decoder at the other
// end and is handed to the receiving storage's restore. Record data and blobs are readers, never whole byte slices, so
// a record of any size passes through in bounded memory.
//
// The package imports nothing else of zrsd, opens no file and starts no goroutine. The facts come from
// docs/file-formats.md; the names are ZODB's own.
package zodb
