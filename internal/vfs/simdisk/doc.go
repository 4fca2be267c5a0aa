// Package simdisk is a disk in memory that keeps apart what is written and what would survive a power failure. Crash
// tests run a write path once per operation, stop the disk there, and look at what is left.
//
// # What survives
//
// The rules are exactly those of package vfs:
//
//   - The content of a file is what it was at its last Sync, plus any subset of the writes and truncations since, each
//     write torn into 512-byte sectors that survive one by one.
//   - What a Sync failed to write is lost for every later Sync, as on Linux: the pages count as clean and can be read,
//     and only what is written to them again, page by page, becomes durable. Until then it may survive or not. Evict
//     takes clean pages out of memory, so that they are read from the disk again.
//   - The names in a folder are what they were at its last SyncDir, plus any subset of the changes since. A file whose
//     name did not survive is gone, however often it was synced.
//   - A rename happens completely or not at all: the file has its old name, or the new one, or, when only the new
//     folder was synced, both; never neither.
//
// Crash draws the subsets from a seed. Some seeds keep nothing, some everything, most a part.
//
// # Faults
//
// Operations that change something are numbered from 1 in the order in which they happen, and recorded as Op; their
// text is what golden traces consist of:
//
//	create db/Data.fs          mkdir db/blobs           rename db/a db/b      syncdir db
//	write db/Data.fs 4+23      truncate db/Data.fs 4    link db/a db/b        chmod db/a
//	sync db/Data.fs                                     remove db/a
//
// A disk can be told to fail an operation by number or by rule, to tear a write, to be full, and to lose power.
//
// A Disk and its files may be used concurrently.
package simdisk
