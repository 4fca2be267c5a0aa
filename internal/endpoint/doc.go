// Package endpoint is the ADDR of the command line: where a server listens and how a client reaches it.
//
//	127.0.0.1:5000   TCP on one interface
//	:5000            TCP on all interfaces, IPv4 and IPv6; so is *:5000
//	0.0.0.0:5000     TCP on all interfaces, IPv4 only
//	db.example:5000  TCP, a name
//	[::1]:5000       TCP, IPv6; [::]:5000 is all interfaces, IPv6 only
//	run/zrsd.sock    a Unix socket: anything with a slash
//
// A Unix socket that a dead process has left is replaced; one on which a process listens, and a file that is no
// socket, are not. Who may connect to a Unix socket is decided by the modes of the socket and its folder,
// that is, by the umask of the process.
//
// An Endpoint is a value and may be used concurrently. The package starts no goroutine.
package endpoint
