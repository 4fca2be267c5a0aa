// Package nagios compares the last transactions of a primary and a secondary and reports, with the texts of zc.zrs's
// zrs-nagios, how far they are apart. Texts, performance data and exit codes are those of zc.zrs 3.1.0, so that an
// existing monitor reads them as before.
//
// # Asking
//
// An address is that of a ZEO server, Python's or ours, or of a node's admin server. The client finds out which:
//
//	we      00 00 00 04 "ruok", then the end of our direction
//	ZEO     length "Z5"         its greeting, sent before it reads anything
//	        length {"1": {"last-transaction": "03f8…", …}, …}
//	HTTP    nothing, or "HTTP/1.1 400 …": to it this is a request that breaks off
//
// A length is 4 bytes, big-endian. A server without a greeting is asked for /status on a second connection. A storage
// without a name of its own is "1", as ZEO has it.
package nagios
