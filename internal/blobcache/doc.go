// Package blobcache keeps a part of the blobs of a storage: the blob directory has a target size, and what is not in it
// is fetched from another node or an object store when somebody asks.
//
//	OpenBlob ── in the directory? ──yes──▶ the file; it was just used
//	               │ no
//	               ▼
//	         one fetch for all who ask ── source 1, source 2, … ──▶ tmp/zrsd-part-…  (ranges, each with its digest)
//	               │                                                      │ size, digest
//	               ▼                                                      ▼
//	         the file ◀──────────────── final name ◀─────────────── content synced
//
//	more than check % of the target has come since the last look ──▶ the blobs that were used longest ago go, until
//	                                                                 (100 - check) % of the target are left
//
// # What may go
//
// A blob goes only when a source that keeps blobs was asked just now and has it with the same size. That it came from
// there is not enough: the node may be lost since. Another cache is no such source: two caches must not each rely on
// the other. So a blob that was committed here stays until it is somewhere else, and nothing about that has to be
// written down.
//
// # What an answer means
//
// *zodb.POSKeyError: there is no such blob, as every source has said. *AwayError: it may be there, but a source that
// may have it could not be asked. A blob that was evicted is never taken for one that does not exist.
//
// # What packs leave
//
// A Cleaner, on the node that leads, removes objects from the store that nothing has needed for a grace time:
//
//	Data.fs, Data.fs.old ── what is needed ──▶ the list of objects ──▶ claims ──▶ notes ──▶ all other nodes ──▶ delete
//
// Its order is that of safety; see Cleaner.Look. A Claim is an object by which the store says who leads in which epoch.
//
// # Crashes
//
// A fetched blob gets its final name when its content is synced, so a crash leaves it whole or absent, or a part that
// the next fetch compares with the source and goes on with. A blob that is evicted may come back in a crash. Neither
// needs anything to be repaired.
//
// # Locks
//
// One mutex guards the list of what was used when, and is held for a few instructions; files are opened, removed and
// looked at without it. Folders that become empty stay.
package blobcache
