// Package workload is what the clients of a drill do: writers that change a few objects and count, and readers that
// look at them at every node. All of them record the answers that they get: see package consistency.
//
//	writer   at the node that admits writers:  load 2 of the objects ▶ commit them, and now and then the counter
//	reader   one at each node:                 load one object ▶ load all as of the last transaction
//
// Every call has a timeout, so that a node that is frozen, or a network that loses messages, costs a client its
// connection and no more. A client that has lost its connection tries again until the end.
package workload
