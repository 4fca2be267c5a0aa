// Command demo shows zrsd at work, with real processes on loopback ports:
//
//	client.py, with the real ZEO ──commits──▶ zrsd primary --zeo ──▶ Data.fs + blobs
//	                                               │
//	                                 zrsd secondary "one"   (killed with -9, and started again)
//	                                               │
//	                                 zrsd secondary "two"   (follows "one")
//
// Where the Python packages are not there, this program itself is the application: it owns the files, and the primary
// follows them with --attach. At the end `zrsd compare` says whether all three databases are the same, and each commit
// that was acknowledged is looked up. Exits with 0 when all is well.
package main
