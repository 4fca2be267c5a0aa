// Package check reads a data file from front to back and reports what is wrong with it. It changes nothing, takes no
// lock and trusts nothing that it can verify, so it can be run beside a server and on a damaged copy.
//
// # What is checked
//
//	structure     magic, lengths and second lengths, statuses, tids rising
//	records       inside their transaction, its offset in tloc, its tid, no version
//	back pointers lead back, to a record of the same oid
//	previous      lead back to a record of the same oid, normally the newest one before the transaction
//	index         the saved index agrees with the file up to where it was saved
//	blobs         every revision of a blob has its file; every file has its revision
//
// A finding is damage, if data are lost or a reader would get wrong data, or a warning, if something is
// unusual or wasted but every reader gets the right data.
//
// # Beside a running server
//
// The file is seen as long as it was when the check began, up to the end of what is committed. What comes after
// that, one transaction being written or one that a crash interrupted, is no finding; Summary.Uncommitted is its
// size. Blob files of later transactions are no orphans. A pack that runs meanwhile may remove blob files that the
// file as it was refers to.
//
// # Memory
//
// About 9 bytes for each object, twice when there is a saved index, and 32 for each revision of a blob.
package check
