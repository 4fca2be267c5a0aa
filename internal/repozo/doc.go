// Package repozo keeps backups of a Data.fs in the folders in which ZODB's repozo keeps them: each program can go on
// with, verify and restore what the other one wrote.
//
//	2026-11-29-22-00-00.fs        the Data.fs from its beginning; .fsz: with gzip
//	2026-11-29-23-00-00.deltafs   what was added since; .deltafsz: with gzip
//	2026-11-29-22-00-00.dat       one line for the full backup and each of its deltas:
//	                              path SP begin SP end SP md5 LF    of the bytes before gzip
//	2026-11-29-23-00-00.index     Data.fs.index as it belongs to the end of that backup
//
// A chain is a full backup and all deltas after it, up to the next full backup; restored are they one after the other.
//
// # What is durable when
//
// A backup is written in these steps:
//
//	index     under its name, durable
//	content   under the name tmp.tmp, durable
//	rename    to its name, and the folder durable
//	.dat      a new file with one line more takes the place of the old one, durably
//	old ones  removed (--kill-old-on-full), the newest first, so that what is left of a chain has its beginning
//
// A crash before the rename leaves nothing that counts. One after it leaves a file that can be restored and that has no
// line: a verification says so, and the next backup adds the line when it has compared the file with the Data.fs.
//
// A restore writes FILE.part, syncs it, removes the old FILE.index, renames, and then copies the index: a Data.fs is
// never beside the index of another one.
package repozo
