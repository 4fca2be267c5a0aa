// Package rewind removes from a storage the transactions that its new primary never had, so that the node can follow
// it: a former primary that continued for a while, or a secondary that had more than the one that was promoted. Nothing
// is destroyed: what is removed is written into a fragment first.
//
//	Data.fs   …│ last common │ first ……… until │          before
//	Data.fs   …│ last common │                            after
//	Data.fs.rewound-<first>.fs      first ……… until       a FileStorage of its own, which ZODB opens
//	Data.fs.rewound-<first>.blobs/                        their blobs
//	Data.fs.rewound-<first>.json                          who wrote what, and on top of which revisions: Manifest
//
// # Steps
//
// Begin writes into the state file that the storage is to be rewound, and to where. From then on it is not used before
// Finish has succeeded: the command calls it at once, and a node at each start. Finish repeats any step that may not be
// complete:
//
//  1. the fragment, from the transactions after the last common one; its manifest is written last, and marks it as
//     complete. Data are written in full if their source is a transaction that stays
//  2. the file is cut off after the last common transaction, its index before that (filestorage.Cut)
//  3. blobs of the fragment are removed from the blob directory
//  4. the state file makes the node a secondary, with the common history, and without the rewind
//
// The cost depends on what is removed, not on what stays, except the index, which is saved once.
//
// # The last common transaction
//
// Common finds it by asking the primary: the epochs say up to where histories can be the same at most, and whether they
// are is a question about one transaction, which the primary answers as it does for a secondary that wants to follow.
// If the first answer is no, a bisection finds the place, with a number of questions that grows with the logarithm of
// the history.
package rewind
