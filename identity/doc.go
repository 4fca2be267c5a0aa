// Package identity keeps what a storage is, beside the Data.fs that says what it contains: the id that all copies of
// one database share, and the epochs of its history. With it two nodes can tell a copy of the same database from
// another one before a byte is exchanged.
//
// # The file
//
// The file is called like the Data.fs with ".zrsd" behind it. It is text:
//
//	{                                                       JSON, in any layout, at most 1 MiB with the last line
//	  "epochs": [{"number":1,"begin":"0000000000000000"}],  never empty; see below
//	  "format": 1,                                          raised when a reader of this version would go wrong
//	  "storage": "1b4e28ba-2fa1-41d2-883f-0016d3cca427"     UUID, random, lower case
//	}\n
//	sha256:<64 hexadecimal digits>\n                        of all bytes before this line
//
// "unnamed_primary": true is there, too, when the id was made for a copy of a storage that has none, that of a zc.zrs.
//
// Numbers of epochs begin above 0 and rise; "begin" is the tid of the last transaction before the epoch and does not
// fall.
//
// The last line is the same in every format, so damage (a *zodb.CorruptError) and a file of a newer zrsd (a
// *VersionError) are told apart for certain: first the sum is checked, then the format, then the rest. Members that
// this version does not know are kept when the file is written again.
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
// Nothing here locks. A node that owns its Data.fs holds that file's lock; one that is attached to another process's
// file must be alone.
//
// Epochs have the type that the wire has: they are the same facts, compared between nodes.
package identity
