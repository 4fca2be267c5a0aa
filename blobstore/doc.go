// Package blobstore is a ZODB blob directory: one read-only file per revision of a blob, beside a Data.fs.
//
// # Layouts
//
// A marker file, .layout, names one of two ways to turn an oid and a tid into a path. For oid 0x0102, tid
// 0x03f8658010000000:
//
//	bushy   0x00/0x00/0x00/0x00/0x00/0x00/0x01/0x02/0x03f8658010000000.blob    one folder per byte of the oid
//	lawn    0x0102/0x03f8658010000000.blob                                      one folder per oid
//
// Numbers are lower-case hexadecimal without leading zero bytes, at least one byte, except that bushy always has all
// eight folders. Names that this package would not write are not blobs of the directory, and are left alone.
//
// While a conversion from one to the other has begun and not ended, which the plan .convert.zrsd says, each blob has
// its name in the layout of the marker, and may have one in the other, too. A blob that comes gets both, and who
// removes one removes both.
//
// # From upload to final name
//
// A blob is first copied into tmp/, which is on the same file system, under a name that begins with "zrsd-". What is
// left there after a crash was never part of a committed transaction and is removed before the next blob is staged;
// other programs' files are not touched. The steps that tie the blob to its transaction are the caller's:
//
//	Stage            content under a temporary name
//	Sync             content durable
//	  (the transaction's records durable, with status 'c')
//	Publish, SyncDir final name, durable
//	  (the status flipped)
//
// A blob that arrives before its transaction votes is a draft there meanwhile. Stage gives it a second name, so that
// the commit copies nothing and the draft is still there for another vote.
//
// So a file under a final name belongs to a committed transaction, or to one whose records are in the tail that
// recovery cuts off; recovery then moves it aside, and never deletes it.
//
// # Sharing a directory
//
// A Shared is the directory of another node's storage, seen through another mount, as on a NAS. A token proves that it
// is the same one: a file of random name and content, put into tmp/ by the node that owns the directory and read
// here.
//
//	owner                                      other node
//	PutToken    tmp/share-<32 digits>
//	            ── name, digest ─────────────▶ Verify     through its own mount
//	Remove
//
// When a directory is unmounted, the empty mount point stays, in which every blob would be missing. So a blob counts as
// missing only while the directory is the file that it was when it was verified.
//
// # Removal
//
// A pack drops revisions. Which ones it plans durably before the Data.fs without them takes the place of the other, in
// .removed.zrsd, and when that is done it carries the plan out. So a crash in between leaves blobs without a record
// only until the storage is opened again, and never a record without its blob. With the old Data.fs kept, so are the
// old blobs: beside the directory is one with .old in its name, to which removed ones are moved and the others linked.
//
// A blob file is never changed in place: after a pack by ZODB it may share its inode with a copy in the .old directory.
package blobstore
