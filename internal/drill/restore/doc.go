// Package restore rehearses that an archive can be restored: the latest moment and one that is drawn. What is restored
// is proved by the digests of the archive, by the hash chain over its transactions, as its writer and, where one is at
// hand, a node knows it, and by clients of a server that has nothing else.
package restore
