// Package config reads the configuration files of ZEO servers, as runzeo takes them, with the sections of zc.zrs and
// our own, into typed values that know where they came from.
//
//	zeo.conf ── zconfig.Load ──▶ Tree ── tables (schema*.go) ──▶ Config
//	                                         │
//	                                         └──▶ docs/configuration.md, which a test compares with them
//
// Every section has one table: its keys with type, default and reason, the sections inside it, and former keys and
// sections. A key that is in no table is an error, which names the nearest known key. Nothing is accepted and ignored:
// what cannot be honoured is an error that says what to do instead, and what belongs to another program, such as
// <runner> to zdaemon, becomes a Note, which is shown at start and by zrsd config check.
//
// All errors of a configuration are returned at once, as zconfig.Errors.
//
// # Roles
//
// As with zc.zrs, a storage in <zrs> that has replicate-from is a secondary, with replicate-to as well one that serves
// others, and one with replicate-to alone is a primary. A storage outside <zrs> is standalone.
package config
