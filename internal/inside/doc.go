// Package inside answers what is in a storage: which classes its objects have and which ones references believe that
// they have, who refers to an object and how it is reached from the root, what is dangling, unreachable or large. And
// it rewrites classes. Records are parsed, never executed; the site's code is not needed.
//
// # One pass
//
// A Survey is made by one pass over the file (filestorage.VisitCurrent), with all cores. It keeps numbers, not records.
// Objects are numbered by their oids, ascending:
//
//	oids      a page of bits for each 4,096 oids, where they are dense; else a sorted list
//	said      4 bytes   in the pass what the record and the first reference say; then by which object it is reached
//	class     2 bytes   what the record says
//	size      2 bytes   of the record in the file; what does not fit is in a map
//	edges     4 bytes   where the list of its references begins: distances of ascending numbers, of 1 to 5 bytes each
//
// The index of the storage, with 9 bytes, is in memory as well. That makes 30 bytes for an object with three references
// to objects anywhere. Where only classes are asked for, the references are not kept, and that is 17 bytes. They are
// read again, without the classes, if there is something to show the path of.
//
// A reference that believes another class than the first one did, or than the record has, makes its target suspect. One
// more pass, only where there are suspects, lists who believes what.
//
// # Rewriting
//
// Rules say which classes are called otherwise, mappings of single objects say which class they have. Each mention of a
// class in a record is decided for itself, and only its opcode is replaced:
//
//	cold.mod\nOld\n                 cnew.mod\nNew\n                     GLOBAL, INST
//	… … 93                          … … 0 0 <new.mod> <New> 93          STACK_GLOBAL; names stay for the memo
//	h 05                            cnew.mod\nNew\n                     from the memo, where another class is wanted
//	95 <length>                     95 <length + difference>            the frame around it
//
// Everything else stays byte for byte, with its protocol.
package inside
