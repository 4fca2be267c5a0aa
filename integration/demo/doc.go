// Command demo shows zrsd at work, with real processes on loopback ports and nothing but Go installed:
//
//	application ──commits──▶ Data.fs + blobs ◀──follows── zrsd primary --attach
//	                                                            │
//	                                              zrsd secondary "one"   (killed with -9, and started again)
//	                                                            │
//	                                              zrsd secondary "two"   (fed by "one")
//
// The application is this program itself. At the end `zrsd compare` says whether all three databases are the same.
// Exits with 0 when they are.
package main
