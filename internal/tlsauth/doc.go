// Package tlsauth authenticates peers: TLS with certificates on both sides, and the file of the shared
// secret. It is independent of replication; a server gets a net.Listener, a client a net.Conn, and both work as without
// TLS.
//
//	Files -- Load --> Credentials <-- Reload (SIGHUP)
//	                    │    one set of certificate, key, authorities and names, exchanged as a whole
//	                    ├─ Listen(listener) --> conns whose first Read or Write makes the handshake
//	                    └─ Client(conn)     --> a conn after its handshake
//
// # Who is accepted
//
// A peer needs a certificate that leads to one in the authority file. A self-signed certificate that is in the file
// itself leads there, however it was signed: SHA-1 is refused in a chain, but the signature of a
// certificate that the operator has listed as trusted does not matter. Then its name decides: where Files.Peers lists
// names, one of them must be a DNS name or the common name in the certificate. Where it does not, a server takes every
// certificate of its authorities, and a client requires the host name that it connected to, as with HTTPS.
//
// A server without authorities asks for no certificate. The roles of replication do not allow that, the admin server
// does.
//
// # The handshake
//
// A server's handshake happens in the first Read, under the deadlines of the reader, so that a peer which is slow
// in it costs the same as one that is slow afterwards: nothing here waits by itself or starts a goroutine. The first
// byte distinguishes TLS (0x16) from plain text:
//
//	+------+---------+--------+----------+        +-------------+-----------
//	| 0x16 | 3, 1..4 | length | hello …  |   or   | 00 00 00 06 | "zrsd/1"     anything that is no TLS record
//	+------+---------+--------+----------+        +-------------+-----------
//	   1        2         2
//
// A peer that speaks plain text is answered in plain text by the function that the server gives to Listen.
// After a handshake that failed, the connection is held for a moment, so that the alert reaches the peer before the
// close does.
//
// There is no session resumption: every connection authenticates again, with the certificates of that moment.
//
// # Reload
//
// Reload reads all files again and takes them over only when all of them are good. Connections that exist keep what
// they began with.
package tlsauth
