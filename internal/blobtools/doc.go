// Package blobtools compares a blob directory with the records of its Data.fs, and brings back blobs that are missing.
//
//	Data.fs ── ReadRecords ──▶ revisions that are blobs ──┬── Audit    against the files of the directory
//	                           (16 bytes of each, sorted)  ├── Recover  missing ones, from caches and copies
//	                                                       └── Stats    counts and bytes
//
// Everything that reads only takes no lock, and works beside a running server: the Data.fs is seen as long as it was
// when it was opened. A pack that replaces it meanwhile is noticed, and ends the work with ErrPacked.
//
// # Memory
//
// 24 bytes for each revision of a blob, 9 for each object, and 16 for every 64th transaction.
//
// # Paths
//
// No name in a blob directory or a cache is trusted. Names that this package would not write itself are no blobs,
// symbolic links are never followed below the folder that the operator has named, and every path that is written to is
// made from an oid and a tid.
package blobtools
