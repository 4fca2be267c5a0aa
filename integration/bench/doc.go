// Command bench measures what zrsd promises about speed and memory, all in one run and on one disk, so that the ratios
// mean something: each zrsd figure stands beside what dd, MD5, a plain TCP copy, fsync, zc.zrs or runzeo do with the
// same bytes in the same minutes.
//
// Catching up is measured with real zrsd processes: from the start of a secondary process with an empty folder until
// its last transaction, durable there, is the primary's. The primary is a process of its own that owns the files.
// For live latency this program owns the storage and streams it with a primary.Primary of its own, and the secondary
// is a process: so it knows the moment at which each transaction became visible on the primary.
//
// The ZEO server is measured as a process, with the clients of package zeoload in this program, and beside it the real
// runzeo with the same configuration file, the same clients and a copy of the same Data.fs. What is inside of a Data.fs
// is looked for by zrsd classes and refs, and in the same file by zodbupdate's dry run and ZODB's fsrefs.
//
//	go run ./integration/bench -scale 0.1          # a tenth of everything, for a first look
//	go run ./integration/bench -only 'set 1|live'  # some of it
//
// Prints a table and writes JSON and Markdown next to each other (-out).
package main
