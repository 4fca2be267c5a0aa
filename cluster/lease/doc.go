// Package lease lets a cluster fail over by itself. A coordinator is a service outside of the cluster that keeps a
// leader lease: it knows, at any time, which node leads. This package defines what a coordinator must guarantee, when
// the primary that holds the lease may report a commit to clients, and which node becomes primary when
// no node holds it. Coordinators are packages below, such as lease/etcd.
//
//	             ┌ publisher  publishes the node's status: epoch, last durable tid, addresses
//	Loop.Run ────┤ watcher    keeps the latest view: lease, record, members, maintenance
//	             ├ steps      renew the lease; decide by the view: campaign, follow, or wait
//	             └ task       has the node lead or follow, while the steps keep renewing
//	Loop.Expiry ◀─── before each commit is reported: Valid
//
// # Lease and record
//
// The lease is held by one node at a time, for as long as it renews it. The record stays when the lease is vacant: the
// highest epoch number that was given out, to which node, and the highest that has begun. To acquire the lease is to
// replace the record that was read, in one step, while nobody holds the lease.
//
// # Until when the lease counts
//
// The holder concludes from a renewal for how long no other node can have the lease. That is its expiry:
//
//	renewal sent   arrives   answered                    expiry at the holder   lease vacant
//	     |-----------------------------------------------------|                |
//	     |  TTL × (1 - drift) - margin                         |                |
//	     |            |---------------------------------------------------------|
//	     |            |  TTL, by the coordinator's clock       |                |
//
// It is counted from the moment of sending, which is the only one that is surely not later than the renewal; on a
// clock that runs while the machine sleeps and that is never set; by a clock that may be slower than the
// coordinator's by the drift. So the lease never counts for two nodes at once, whatever is delayed, lost or stopped.
// That is all that is assumed: the rates of two clocks differ by less than Timing.Drift. The clock of a virtual machine
// that its hypervisor pauses may not count the pause; that is like the stopped process below.
//
// # What the lease decides
//
// A primary takes transactions at any time, but without the lease no ZEO client learns of one, neither its committer by
// an answer nor a reader by an invalidation: it is held until the primary has it again. When the coordinator cannot
// be reached, the primary continues to the expiry and then holds commits; it continues as soon as it can renew, or can
// acquire the lease again, because the record still names it. Where the record names another node it is fenced, and
// follows that one.
//
// A process can be stopped between the check and the write, and then the answer leaves after the expiry. The margin
// covers delays of that place, which has no disk and no lock in it, up to Timing.Margin; a stop longer than what is
// left of the lease and the margin it does not cover. Such an answer can report a transaction that the new primary
// lacks only if that one was promoted without it, which waiting for secondaries rules out: the votes of a promotion
// include one of a secondary that has everything that clients were told.
//
// # Who leads next
//
// While the lease is vacant every member publishes its status at each step. A node that may lead waits until it has
// seen a status of every live member that is younger than the vacancy, and acquires the lease if none of them is ahead
// of it by (epoch, durable tid). It then leads under the next epoch number, or gives the lease back when it cannot, and
// stands aside for a while. A member that has not seen the last epoch that has begun never campaigns: it may lack
// all of it. Nor does one whose last transaction is much older than the last one on record. And where the coordinator
// has no record, only a node that leads already can begin one: a new or emptied coordinator promotes no node.
//
// Roles that are changed by hand go first, and the lease follows: a holder that does not lead any more resigns, and a
// node that leads with a higher epoch than the record's acquires the lease when it is vacant, before anybody
// campaigns. A node that has heard of an epoch that is not on record leaves a TTL to whoever is about to begin it.
//
// In maintenance no node is promoted or demoted automatically. The lease works as usual.
package lease
