// Package state keeps the identity of a storage in a file beside the Data.fs: the id that all copies of
// one database share, and the epochs of its history. With it two nodes can distinguish a copy of the same database from
// another one before a byte is exchanged.
//
// # The file
//
// The file is called like the Data.fs with ".zrsd" after it. It is text:
//
//	{                                                       JSON, in any layout, at most 1 MiB with the last line
//	  "born": 1795917401856564882,                          when this file was made, in nanoseconds
//	  "chain": {"base": …, "checkpoints": […]},             digests over the history; see Chain
//	  "epochs": [{"number":1,"begin":"0000000000000000"},   never empty; see below
//	             {"number":2,"begin":"03f8658005555555",
//	              "node":"9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64",
//	              "by":"db1","at":"2026-11-23T10:00:00Z"}],
//	  "follow": ["db2:5000"],                               where else the node looks for its primary
//	  "format": 4,                                          raised when an older version would misread the file
//	  "inode": 4711,                                        the inode of this file
//	  "max_epoch_begun": 3,                                 an epoch that has begun elsewhere, not in "epochs" yet
//	  "max_epoch_seen": 3,                                  the highest epoch heard of or voted for
//	  "node": "9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64",       UUID of this copy
//	  "role": "primary",                                    what a promotion, demotion or rewind made of the node
//	  "storage": "1b4e28ba-2fa1-41d2-883f-0016d3cca427"     UUID, random, lower case, of all copies
//	}\n
//	sha256:<64 hexadecimal digits>\n                        of all bytes before this line
//
// Members except "epochs", "format" and "storage" are left out when they are empty, as are "successor", the node to
// which a primary handed over, "voted_for", the node that got this one's vote for the highest epoch, "rival",
// another primary of the same epoch number to which this one yields, "was", the node of which this one is a copy,
// "frozen": true, "learner": true, of a copy that has no vote before it has caught up with a primary,
// "external_history": true, where the chain proves nothing, "generated_id": true, where the id was made
// for a copy of a storage that has none, that of a zc.zrs, "rewind", a rewind to be finished, "set_aside", rewinds that
// the node did by itself, "reseeds", the times when the data file was set aside as a whole, and "waits", the part of
// the history of which clients were told only what enough secondaries had: see Waits.
//
// Files of formats 1 to 3 are read. They call some members by other names (former, in codec.go); those of format 1 have
// only "epochs", "format" and "storage", those of format 2 no "waits".
//
// Numbers of epochs begin above 0 and rise; "begin" is the tid of the last transaction before the epoch and does not
// fall; "node" is the id of the node that began it, left out where an older version wrote it down. An epoch is the same
// only where all three are the same.
//
// The last line is the same in every format, so damage (a *zodb.CorruptError) and a file of a newer zrsd (a
// *VersionError) are distinguished for certain: first the checksum is verified, then the format, then the rest. Members
// that this version does not know are kept when the file is written again.
//
// # Copies
//
// A file that was copied, moved to another disk or restored is another file on its disk: the inode and the time of
// birth that it names are not its own. Inodes alone prove nothing, because disks use them again. The copy has the same
// storage and the same history, but it is another node: it gets a node id of its own, and remembers in "was" whose copy
// it is. So is a storage whose Data.fs lacks transactions that the chain knows of. A copy leads nothing before it
// begins an epoch, or an operator says that it is the original (package node). A copy of a whole disk, below its file
// system, cannot be recognised this way. Where a disk does not have one of these marks it is left out.
//
// Python's tools ignore the file. A Data.fs without one, such as a fresh copy, gets one on first use: a primary
// creates it, a secondary adopts what its primary has.
//
// # Durability
//
// A file is replaced in four steps: write and sync "<Data.fs>.zrsd.tmp", rename, sync the folder. After a crash the
// old or the new file is there, whole, and what a call returned success for is the new one. The steps are written out
// here because they have to go through vfs.FS, which libraries for replacing files do not know, so that the crash
// tests reach them.
//
// While a node runs, its Keeper alone writes the file. Nothing here locks. A node that owns its Data.fs holds that
// file's lock; one that is attached to another process's
// file must be alone.
//
// Epochs have the type that the wire has: they are the same facts, compared between nodes.
package state
