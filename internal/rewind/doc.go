// Package rewind takes out of a storage the transactions that its new primary never had, so that it can follow that: a
// former primary that went on for a while, or a secondary that was further than the one that was promoted. Nothing is
// destroyed: what is taken out is put into a fragment first.
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
// Finish has been through: the command calls it at once, and a node whenever it starts. Finish repeats any step whose
// end it cannot see:
//
//  1. the fragment, from what lies behind the last common transaction; its manifest is written last, and says that it
//     is complete. Data are written in full where their source stays behind
//  2. the file is cut off behind the last common transaction, its index before that (filestorage.Cut)
//  3. blobs of the fragment are removed from the blob directory
//  4. the state file makes the node a secondary, with the common history, and no rewinding any more
//
// All of it costs what is taken out, not what stays, but for the index, which is saved once.
//
// # The last common transaction
//
// Common finds it by asking the primary: the epochs say up to where histories can be the same at most, and whether they
// are is a question about one transaction, which the primary answers as it does for a secondary that wants to follow.
// Where the first answer is no, the place is found in a number of questions that is the logarithm of the history.
package rewind
