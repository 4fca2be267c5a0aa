// Package dump shows what is in a data file, transaction by transaction and record by record, with offsets: for
// people as indented text, for programs as one JSON object per line. It reads the raw file, so it also shows
// damaged ones up to the damage, takes no lock, and can be run beside a server.
//
//	transaction 03f8658010000000 at 4, 2024-05-06 08:00:03.750000 UTC, 136 bytes
//	  user "/ admin"
//	  extension 12 bytes
//	  oid 0000000000000000 persistent.mapping.PersistentMapping at 47, 66 bytes
//	  oid 0000000000000001 plone.Document at 160, data of 03f8658005555555 at 47, previous at 47
//	  oid 0000000000000002 ZODB.blob.Blob at 210, 25 bytes, blob of 4096 bytes, path /news/file
//
// The JSON lines are a contract: {"transaction": {...}} followed by one {"record": {...}} for each of its records;
// see the types Transaction and Record. Memory is bounded whatever the size of a transaction.
package dump
