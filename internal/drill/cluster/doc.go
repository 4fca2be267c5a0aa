// Package cluster runs real zrsd processes on storages of their own, for drills: it starts, kills, stops and continues
// them, gives them commands, and asks for their status.
//
//	DIR/
//	  a/   Data.fs  Data.fs.zrsd  blobs/  log        a node: its storage and its log
//	  b/   …
//	  aside-1/  …                                    a node's folder as it was when the node was replaced
//	  net/ a-repl  a-repl.gate  a-zeo  a-zeo.gate  a-admin  …
//
// A node listens at Unix sockets for secondaries, for ZEO clients and for commands. All but the commands go through the
// gates of package network. Every node knows every other one's gate, so that any of them can be primary.
//
// A Cluster is for one goroutine, except Status and methods that say otherwise.
package cluster
