// Package conflict merges two changes of one object where that needs no code of an application: those of BTrees and of
// the counters of BTrees.Length.
//
//	          old: what both transactions began with
//	         /   \
//	committed     sent          three records of one object, each two pickles: class and state
//	         \   /
//	         merged             the class of sent, and the state with both changes
//
// The rules are those of the classes' own _p_resolveConflict, as the C code of the package BTrees has them: the Python
// code there differs in which of two equal keys it keeps. A merge has exactly the result of ZODB for the same
// three records. What is not merged here may still be merged by a client, which has the application's classes.
//
//	class                   state                              merged
//	BTrees.Length.Length    number                             committed + sent - old
//	Bucket, Set of BTrees   ((k1, v1, …),) or (…, next)        entry by entry, see merger
//	                        ((k1, k2, …),) or (…, next)
//	BTree, TreeSet          None or ((bucket's state,),)       as its only bucket
//	                        (children, first bucket)           never
//
// Keys and values are compared as Python compares numbers, text, bytes, None, tuples and lists of these. Whether others
// are equal, and their order, only their classes know: a bucket where such a comparison is needed is left to the
// client, and so is one of a family of numbers with something else in it. Keys and values that are only moved may be
// anything.
package conflict
