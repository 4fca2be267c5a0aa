// Package record shows what is in the record of an object: its class, what it refers to and its state, as a tree that
// prints as text and as JSON. Nothing of the site's code is needed, and nothing in a record is ever executed: the
// pickles are those that package pickle has read.
//
//	record    80 03 63 m.C | 80 03 7d …        two pickles with one memo, or both of them after .z
//	            │               │
//	            ▼               ▼
//	Object    Class "m.C"     State *Node ──▶ String, MarshalJSON
//	                            └─ References: oid, the class that they name, database, weak or not
//
// # References
//
// A persistent id has one of these forms. Those with a class say which class the ghost of the object is made with: the
// record of the object itself is read only later, and its class counts only for who loads it by its oid.
//
//	oid                               written for classes with __getnewargs__, and in old databases
//	(oid, class)                      the usual form; the class may be a tuple (module, name)
//	['w', (oid,)], ['w', (oid, db)]   weak: keeps nothing alive
//	[oid]                             weak, in old databases
//	['m', (db, oid, class)]           to another database
//	['n', (db, oid)]                  to another database
//
// # JSON
//
// What JSON has no form for is an object with a key that begins with @; keys of a dictionary that begin with @ get a
// second one:
//
//	{"@bytes": "hex"} {"@int": "18446744073709551616"} {"@float": "nan"}
//	{"@tuple": […]} {"@set": […]} {"@frozenset": […]} {"@dict": [[key, value], …]}
//	{"@datetime": "2024-05-06T08:00:00"} {"@class": "m.C"}
//	{"@ref": "oid", "class": "m.C", "database": …, "weak": true}
//	{"@object": "m.C", "args": […], "items": […], "entries": [[k, v], …], "state": …}
//	{"@cycle": 2}: the value is the container two levels above; {"@cut": "…"}: there is more than the limit allows
//
// # Bounds
//
// A record may be hostile. Reading is bounded by the limits of package pickle and of zlibrecord; the tree, which has a
// value as often as it is mentioned, by Limits.Nodes and its depth.
package record
