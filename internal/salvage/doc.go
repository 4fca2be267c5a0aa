// Package salvage works with what a rewind has set aside: it lists the transactions of a fragment, copies some of them
// into a storage of their own, says which of them could be committed again, and commits those through the present
// primary, as a ZEO client.
//
//	fragment ── Transaction ──▶ Judge: each object has at the primary the revision that it was based on
//	                       ──▶ Apply: tpc_begin, store on top of that revision, vote, finish
//
// # When a transaction can be committed again
//
// Each of its objects has to be at the primary what it was when the transaction was made: of the revision in the
// manifest (rewind.Object.Base), or of the one that an earlier transaction of the fragment has just become, or not
// there at all where it was new. Otherwise it has been changed since, and to write over that would undo the change.
// The primary checks the same under its commit lock; the answer of Judge may be out of date.
//
// A transaction of which every object is at the primary with the same data is called applied: it was committed again
// before. So to apply a fragment twice does nothing the second time.
//
// # Where objects are
//
// Objects that only the fragment has are in no data file that could be asked. But somebody refers to them, and that
// record is in the fragment, as it was changed with them: from there the paths are completed.
package salvage
