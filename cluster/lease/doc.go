// Package referee lets a cluster fail over by itself. A referee is a service outside of the cluster that can tell, at
// any time, who leads; this package says what one has to guarantee, when the primary that it names may tell anybody
// that a transaction is committed, and who is to lead when nobody does. Backends are packages below, such as
// referee/etcd.
//
//	             ┌ herald   publishes the node's standing: epoch, last durable tid, addresses
//	Loop.Run ────┤ watcher  keeps the latest view: office, record, standings, maintenance
//	             ├ turns    renews the term; judges the view: campaign, follow, or stay
//	             └ actor    tells the node to lead or to follow, while the turns go on renewing
//	Loop.Term ◀─── before each commit is told: Valid
//
// # Office, record, term
//
// The office is held by one node at a time, for as long as it renews; a backend calls that a lease. The record stays
// when the office is vacant: the highest epoch number that was given out, to whom, and the highest that was really
// begun. To take the office is to replace the record that was read, in one step, while nobody holds the office.
//
// The term is what the holder may conclude from a renewal: for how long nobody else can have the office.
//
//	renewal sent   arrives   answered                    term ends      office falls vacant
//	     |-----------------------------------------------------|                |
//	     |  TTL × (1 - drift) - margin                         |                |
//	     |            |---------------------------------------------------------|
//	     |            |  TTL, by the referee's clock           |                |
//
// It is counted from the moment of sending, which is the only one that is surely not later than the renewal; on a
// clock that goes on while the machine sleeps and that nobody sets; by a clock that may be slower than the
// referee's by the drift. So two terms never overlap, whatever is delayed, lost or stopped. That is all that
// is assumed: the rates of two clocks differ by less than Timing.Drift. The clock of a virtual machine that its
// hypervisor pauses may not count the pause; that is like the stopped process below.
//
// # What a term decides
//
// A primary takes transactions at any time, but no ZEO client is told of one, neither its committer by an answer nor a
// reader by an invalidation, outside of a term: it is held until there is one again. When the referee
// cannot be reached, the primary goes on to the end of its term and then holds; it goes on as soon as it can renew, or
// can take the office again, because the record still names it. Where the record names another node it is fenced, and
// follows that one.
//
// A process can be stopped between the check and the write, and then the answer leaves after the term. The margin
// covers delays of that place, which has no disk and no lock in it, up to Timing.Margin; a stop longer than what is
// left of the lease and the margin it does not cover. Such an answer can tell of a transaction that the new primary
// lacks only if that one was promoted without it, which waiting for secondaries rules out: the promises of
// a promotion contain one of a secondary that has everything that was ever cleared.
//
// # Who leads next
//
// While the office is vacant every member publishes its standing at each turn. Whoever may lead waits until it has
// seen a standing of every live member that is younger than the vacancy, and takes the office if none of them is
// further by (epoch, durable tid). It then leads under the next epoch number, or gives the office back when it cannot
// and stands aside for a while. A member that has not seen the last epoch that was begun never campaigns: it may lack
// all of it. Nor does one whose last transaction is much older than the last one on record. And where the referee has
// no record, only a node that leads already can begin one: a new or emptied referee promotes nobody.
//
// Roles that are changed by hand go first, and the office follows: a holder that does not lead any more resigns, and a
// node that leads with a higher epoch than the record's takes the office when it is vacant, before anybody
// campaigns. A node that has heard of an epoch that is not on record leaves a TTL to whoever is about to begin it.
//
// In maintenance nobody is promoted and nobody demoted. Terms are as ever.
package referee
