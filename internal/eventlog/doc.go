// Package eventlog writes the log in the form that <eventlog> and <logfile> of a ZConfig file ask for, which is that of
// Python's logging: people and scripts of ZEO servers search for its lines.
//
//	hclog.Logger ──▶ Log ── each record to every Sink whose levels let it through
//	                         │
//	                         └─ Format ──▶ ------
//	                                       2026-11-23T09:30:00 INFO zrsd.storage storage is open size=1024
//
// Levels have Python's numbers and names. What hclog calls warn is WARNING; an error with the pair Critical is
// CRITICAL. The pairs of a record follow its message as key=value, values with white space in quotes.
package eventlog
