// Package references finds the objects that a record refers to, for the garbage collection of a pack.
//
// A record is two pickles, of the object's class and of its state, with one memo. For another persistent object
// they have a persistent id, in one of these forms:
//
//	oid                    a reference
//	(oid, class)           a reference
//	[oid], ['w', (oid,)]   a weak one, which keeps no object alive
//	['m', …], ['n', …]     one to an object in another database
//
// where an oid is a string of 8 bytes, or of characters if all of them are ASCII.
//
// The pickles are parsed and never executed: a small stack machine keeps, of each value, only whether it can be part of
// a persistent id. It allocates nothing but its stack and memo, both bounded by the length of the record, and it
// remembers nothing of a record after the next call. What it does not understand is an error, because what follows
// could be a reference, and its object would count as garbage.
//
// What is found agrees with ZODB.serialize.referencesf, in the order of the record, with two exceptions: strings of
// Python 2 with bytes above 0x7f are taken as they are, where Python 3 fails, and an id of other than 8 bytes is an
// error.
package references
