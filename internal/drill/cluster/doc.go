// Package cluster runs real zrsd processes on storages of their own, for drills: it starts, kills, freezes and wakes
// them, gives them commands, and asks how they are.
//
//	DIR/
//	  a/   Data.fs  Data.fs.zrsd  blobs/  log        a node: its storage, and what it said
//	  b/   …
//	  aside-1/  …                                    a node's folder as it was when the node was replaced
//	  net/ a-repl  a-repl.gate  a-zeo  a-zeo.gate  a-admin  …
//
// A node listens at Unix sockets for secondaries, for ZEO clients and for commands. All but the commands go through the
// gates of package network. Every node knows every other one's gate, so that any of them can be primary.
//
// A Cluster is for one goroutine, but for Status and what says otherwise.
package cluster
