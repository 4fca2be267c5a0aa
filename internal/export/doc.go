// Package export writes the objects of a storage, as they were at a moment, into tables that reports read without
// Python: files of JSON lines or Parquet, or one SQLite database.
//
//	Survey ──▶ classes ──▶ each table: 1. read its records, find its columns   ──▶ Writer ──▶ OUT.zrsd-new ──▶ OUT
//	                                   2. read them again, write its rows               └─ fsync, rename, fsync
//
// # Tables
//
// Each class has a table with one row for each of its objects, by ascending oids: oid, tid and time of the transaction
// that wrote it, path where it is asked for, and the attributes of its state. Containers have one row for each entry:
//
//	BTrees.OOBTree.OOBTree                   of trees and their buckets: tree, key, value; tree is the oid of the tree
//	BTrees.OOBTree.OOTreeSet                 of sets: tree, key
//	persistent.mapping.PersistentMapping     key, value; PersistentList: the key is the position
//
// # Columns
//
//	title = "News"                  title       text
//	parent = reference              parent.oid, parent.class; parent.database, parent.weak where there are such
//	text = object of the record     text.class, text.raw, text.mimeType: the attributes of its state, maxDepth deep
//	created = datetime, DateTime    created     timestamp, in UTC where there is a zone
//	tags = list, tuple, set, dict   tags        JSON, in the form of package record
//
// A column has the type of its values, None apart. Integers beside floats make a column of floats. Any other mixture
// makes a column of JSON, in which each value has its own form. Attributes above maxColumns are together in the column
// more, as JSON.
//
// Names of classes and attributes may be anything. They are cut to maxName bytes, without control characters; names
// that differ in their case only, or are taken, get a number: title_2.
package export
