// Package compare finds the first place where two storages differ, looking at what they say and not at how their
// files keep it: offsets, back pointers, previous pointers and index are nobody's business here.
//
// Two storages are equal when their transactions are, one by one from the first:
//
//	tid, status          where 'p' counts as ' ', because packing is each side's own affair
//	user, description,   byte by byte
//	extension
//	records              the same oids in the same order, with the same data or none
//	blobs                the same content, or none on both sides
//
// Transactions with the obsolete status 'u' count as absent. A pack removes transactions and records, so two
// storages of which only one has been packed differ at the first thing that the pack removed.
//
// Both sides are read front to back at the same pace, and compared in pieces of 64 KiB: memory is bounded whatever
// the size of a record or blob, and nothing is locked. A side that a server is writing to is seen as it was when it
// was opened.
package compare
