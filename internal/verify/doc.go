// Package verify looks whether the copy of a storage on this disk is still what it was, and whether it is the same as
// those of other nodes. It finds what nobody reads: a bit that has flipped in a record from years ago.
//
// # One pass
//
// The data file is read once, from the front to the end of what is committed, at most so many bytes per second, by
// threads that yield processor and disk to others. No commit waits for it.
//
//	disk ──▶ reader ──▶ check.Run ──▶ collector ──▶ digester     chain of digests against its checkpoints
//	           │                                └─▶ scanner      references to objects that do not exist
//	           └ checksums of blocks against those of the pass before
//
//	then     blobs      size and digest against those that were noted, where it is due
//	then     peers      the chain as it was just read against the history of each other node
//	then     own temporary files that are older than ReclaimAge are removed
//
// # What finds what
//
// The structure of the file proves itself (package check). The content of records proves itself against three things
// that were noted while it was right:
//
//	checkpoints of the hash chain    noted at each commit; they say between which transactions the change is, and
//	                                 survive a copy of the file, but not a pack of what is before them
//	checksums of blocks of 64 KiB    noted by the pass before, also of what was packed; they name the byte where one
//	                                 bit has flipped, and belong to this one file on this disk
//	the histories of other nodes     whatever the cause; they name the first transaction that differs
//
// A change that contradicts what this node noted is damage on this disk: "here". A difference to another node, where
// all here is as it was noted, is "there". Where nothing here says which is right it is "unknown", until the other
// node has looked at its own disk.
//
// # What is written
//
// Nothing but files of its own, beside the Data.fs, each replaced as a whole or appended to so that a crash leaves what
// was there before. They are hints: a pass without them notes anew, and finds less.
//
//	Data.fs.verify.zrsd    what the passes found, when the next one is due: see Status
//	Data.fs.blocks.zrsd    checksums of blocks: see blocks.go
//	Data.fs.blobs.zrsd     digests of blobs: see digests.go
package verify
