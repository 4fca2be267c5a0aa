// Package workload plays the application: it writes transactions into a FileStorage as a ZODB application would.
// Records are real pickles (of PersistentMapping and ZODB.blob.Blob) that real ZODB loads, follows references in and
// packs; their content is random and does not compress.
//
// An Owner keeps changing a fixed set of objects that hang on the root; Fill appends one of the sets that the
// benchmark measures with, FillTwice writes one of which half is garbage.
package workload
