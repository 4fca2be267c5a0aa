// Package reseed sets the data file of a copy aside as a whole, with its blobs, so that the node takes everything anew
// from its primary: a secondary whose Data.fs is gone, cannot be opened, or is of another history. Nothing is deleted.
//
//	Data.fs, .index, .old, .pack     Data.fs.aside-20261129T142200Z-damaged, …         beside them
//	blobs/0x00, …                    blobs/.aside-20261129T142200Z-damaged/0x00, …     in the blob directory
//
// The blobs stay below their directory, because that may be a mount point, which cannot be renamed. ZODB and zrsd pass
// over folders whose names begin with a point.
//
// # Steps
//
// Begin writes into the state file that the file is set aside, under which name and why, and makes the node another
// one, without a vote: from then on nobody can count on it for what it had. Finish moves one name after the other,
// syncs the folders, and notes that it is done. A crash in between is finished by the next start of the node, before it
// opens anything, or by the next call of the command. Finish moves only what is there, and never over what was set
// aside.
//
// # When
//
// Vouches says whether a primary has everything that clients may count on this copy for: it leads the latest epoch that
// the copy knows of, or a later one, has its last transaction, and its history includes that. A reseed without such a
// primary needs an operator.
package reseed
