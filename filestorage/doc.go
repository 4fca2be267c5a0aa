// Package filestorage reads and writes a ZODB FileStorage: a Data.fs, its index, its lock, and in step with them a blob
// directory. The files are ZODB's own: Python opens what this package wrote, and the other way round.
//
// # The file
//
// A Data.fs is a log. Transactions are appended and never changed, the newest record of an object is its current state,
// and the index, from oid to offset, is all that a reader needs besides. Integers are big-endian.
//
//	Data.fs      magic(4) transaction*                   magic: FS30, or FS21 from Python 2
//
//	transaction  0        8          16        17      19      21      23
//	             | tid(8) | length(8)| status(1)| ulen(2)| dlen(2)| elen(2)| user description extension
//	             record*
//	             length(8)                               the same number again; it counts up to its own position
//
//	record       0        8        16        24        32       34       42
//	             | oid(8) | tid(8) | prev(8) | tloc(8) | vlen(2)| plen(8)| data(plen), or if plen is 0: back(8)
//
// prev is the offset of the record of the oid that was current before the transaction, 0 for none; tloc that of the
// transaction. back is the offset of an earlier record of the oid that has the data, 0 if the object does not exist any
// more. status is ' ', 'p' (written by a pack), 'u' (undone: counts as absent) or 'c': not finished, so not there.
//
// # Commit
//
// One transaction at a time is written, straight after the end of the file, from Begin to Finish, Enqueue or Abort.
// Enqueue lets the next one begin before this one is durable. The transactions that gather while the disk is busy are a
// group. In the file its first transaction has status 'c', the others the status they will keep:
//
//	committed                 group being synced      group gathering         in progress
//	…│ T ' ' │ T ' ' │        │ T 'c' │ T ' ' │       │ T 'c' │ T ' ' │ …     │ T 'c' …
//	                 ▲ commit point
//
// The syncer takes a group through these steps:
//
//	1  sync the content of its blobs, under temporary names
//	2  sync Data.fs: the group is on the disk, and after its 'c' it does not exist
//	3  rename the blobs to their names, sync their folders
//	4  write the final status over the 'c', one byte
//	5  sync Data.fs: the group is durable
//	6  enter its records into the index, move the commit point: the group is visible
//
// A crash at any point leaves the whole group, or a 'c' from which recovery, this package's and ZODB's alike, cuts.
// Nothing is visible before it is durable, and a Commit is done after step 6. An idle disk gets groups of one
// transaction, with two syncs each; a busy one shares the two among as many as arrive meanwhile. Vote and Finish are
// steps 1 and 2, and 3 to 6, for a group of one. At most maxUnsynced bytes, and the transaction in progress, are
// after the commit point.
//
// Append takes the bytes of another copy of the file, of which this one is the beginning, and makes groups of them,
// with the same steps: in the bytes that are written a group's first transaction gets status 'c'. Such a group has
// about maxUnsynced/4 bytes or 16,384 transactions. What the bytes say is checked before step 1.
//
// What fails while a transaction is written (a full disk) fails that transaction; Abort cuts it off. What fails in
// steps 1 to 5 for a group, or in syncing or steps 4 and 5 for a transaction of its own, leaves unknown what the disk
// has: the storage then takes no more transactions (FailedError) and still answers readers.
//
// # Undo
//
// A transaction is undone by another one, which has for each record r of the first a record that points back to the one
// before r (r.prev), or to nothing where r created the object. Where the object has changed since, the undo is refused,
// unless it has the data of r again or a Resolver merges the changes. What is undone can be undone again.
//
//	1 │ a, data │      2 │ a, data │      undo of 2 │ a, back │
//	      ▲  ▲─── prev ────┘                           │
//	      └─────────────── back ───────────────────────┘
//
// # Pack
//
// A pack to a tid writes a new file, in which the transactions up to that tid have only the records that are still
// needed: those that were current then, with garbage collection only of objects that could be reached from the root
// then, and those that a later transaction points back to. These transactions get status 'p', their records prev 0 and
// their data in full; transactions of which nothing is left are dropped, except the last one, so that the last tid of a
// storage never goes back. The later ones are copied with other offsets.
//
//	Data.fs         1 │ a b │   2 │ b c │   3 │ a │   4 │ b →2 │   5 │ a │
//	                                         pack to 3 ▲
//	Data.fs.pack    2 p │ b │   3 p │ a │   4 │ b →2 │   5 │ a │           c is garbage, 1 is gone
//
// Commits continue until the rest that has still to be copied is small. Then it is copied while no commit can begin,
// and the new file is synced and takes the place of the old one by a rename. Readers keep the data file that they read;
// iterators continue in the next one after the last tid that they have seen. A crash leaves the old file or the new
// one; the steps are drawn at packer.make. Blobs are removed after the rename, by a plan that
// was made durable before it.
//
// # Reading
//
// Readers know the commit point, and read the file with ReadAt only up to it. They share no lock with the writer,
// except in step 6. Records are read into memory by Load and similar methods, and streamed by iterators.
//
// # Opening
//
// The saved index (Data.fs.index) is taken if it fits the file: a transaction ends at its position, and the records
// of the last one are where it says. The rest of the file, or all of it, is scanned once and its structure checked:
// lengths twice, offsets of transactions, ends of records, statuses. Where that is broken the error is a
// *zodb.CorruptError and nothing is changed. What an interrupted commit left at the end is cut off, after a copy of
// it has been put into the first free of Data.fs.tr0, Data.fs.tr1, …, and blobs of lost transactions have been set
// aside. The difference between such a tail and damage:
//
//	at the end is                                  it is a tail unless
//	too little for a header
//	status 'c', or a header of zeros               more than tailLimit of whole transactions follow
//	a final status, a length that cannot be right  the transaction is whole after all, or a whole one follows
//
// The tid of the last transaction is always that of the last good one. A read-only storage changes nothing, takes no
// lock, and sees what was committed when it was opened.
//
// # Files
//
//	Data.fs.lock             flock(2), as ZODB takes it, held while the storage is open for writing
//	Data.fs.index            saved on Close, after a full scan, and from time to time; replaced by a rename
//	Data.fs.tr0, .tr1, …     what recovery cut off
//	Data.fs.pack             the new file of a pack under way; removed by Open after one that was interrupted
//	Data.fs.old              the file before the last pack, if it was to be kept
//	Data.fs.heal.zrsd        the plan of a repair under way (see Storage.Repair); Open finishes it
//	quarantine/              damaged bytes that a repair has replaced, each with a file that has the reason
package filestorage
