// Package cluster decides which node of a cluster is primary, and what that takes, so that no acknowledged commit is
// lost. docs/failover.md has the rules as numbered statements, with the tests that hold them.
//
// A cluster is a few nodes, each with a copy of one storage. One is primary and takes transactions, the others are
// secondaries and follow it. A Node is one of them, while its storage is open:
//
//	           votes, status         ┌───────────────── Node ─────────────────┐
//	other ◀───────────────────────▶  │ epochs, votes, conflicts   state file  │ ──▶ what clients may do (SetAccess)
//	nodes      hand over             │ promote, switchover,                   │
//	                                 │ demote, freeze          sync rule      │ ◀── commits that wait (StorageOptions)
//	           lease, members        │                                        │
//	etcd  ◀───────────────────────▶  │ coordinator             rewind         │
//	                                 └──────┬───────────────────────┬─────────┘
//	                                   Secondary            ReplicationServer
//	                                   follows the primary  serves secondaries
//
// # Epochs
//
// An epoch is the time of one primary: a number, the last transaction before it, and the node that began it. All nodes
// keep the list of all epochs in their state file. A node is primary of an epoch that it has begun itself; it begins
// one above all that it and the others have seen, durably, and commits an empty transaction, before any client may
// write (epoch.go). A primary that hears of a higher epoch that has begun is fenced: it takes no transactions any more,
// also after a restart, and becomes a secondary.
//
// # Votes
//
// Before an epoch begins, the other nodes vote for it: each writes down that it follows no primary of a lower epoch,
// and acknowledges nothing to one (vote.go). Together with the sync rule that makes a promotion safe: where commits
// wait for N of M secondaries, each commit is on one of any M-N+1 of them, so that many have to vote, and none of them
// may have more than the node that is promoted (promote.go). A promotion asks all nodes first and changes nothing until
// the answers say that it will succeed. Where votes were given and the epoch has not begun, the primary begins a
// higher epoch (epoch.go).
//
// # Spares
//
// A spare follows the primary only while another node is out (spare.go). For all rules it is a secondary like any
// other.
//
// # Changes
//
//	promote      a secondary becomes primary, because the primary is lost              promote.go
//	election     the same, by the lease of a coordinator, without --force              promote.go, coordinator.go
//	switchover   a primary hands over to a secondary that has everything               switchover.go
//	demote       a primary becomes a secondary                                         demote.go
//	freeze       a primary takes no transactions for a while                           demote.go
//
// One change at a time is under way on a node. Messages of other nodes arrive on their connections as events, and Run
// handles them one after the other (monitor.go).
//
// # Sync rule
//
// Where commits of clients wait for secondaries, the storage makes a commit durable here, and the ZEO server tells
// nobody of it before StorageOptions.Cleared returns: enough secondaries have it, or the node has stopped waiting,
// which is durable first (sync.go). The state file says since when commits have waited without a gap: from that, a
// former primary knows later which of its transactions nobody was told of.
//
// # Afterwards
//
// A former primary may have transactions that the new one never had. Where nothing is lost by that it sets them aside
// by itself, otherwise an operator decides (rewind.go). Two primaries of one epoch, a copy of a node, or a node without
// a state file are conflicts: such a node does not become primary by itself (identity.go,
// conflict.go).
package cluster
