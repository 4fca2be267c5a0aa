// Package etcd is a lease.Coordinator that is an etcd cluster. Below a prefix of its own it keeps
//
//	record         {"number":4,"node":…,"begun":4}     without an etcd lease: it stays
//	office         the status of the holder            with the etcd lease of its last renewal
//	members/NODE   the status of a member              with the etcd lease of its last publication
//	maintenance    {"on":true,"by":…,"why":…}          without an etcd lease
//
// as JSON. "office" is the leader lease: nodes of older versions look for it under this name, and two names would be
// two leases. Everything that changes it is one transaction of etcd, which compares what it builds on.
//
// # Each renewal is a new lease of etcd
//
// A lease of etcd can be kept alive by a message to the leader of etcd, which does not go through its log: the leader
// answers without asking the others. A renewal here asks for a new lease instead and moves the key to it. Both are
// entries of the log, so a majority has them before they are answered; a lease begins when its entry is applied, which
// is later than its request; and a new leader of etcd begins the time of all leases anew. So a lease lasts at least
// a TTL from the request on, whatever happens to servers of etcd. The lease before is without keys then and runs out.
//
// # Reading
//
// Reads are linearizable. A read that waits watches the prefix from the revision after the one that the caller has, so
// that nothing is missed and changes of others in the same etcd wake nobody. When that revision has been compacted
// away, the state is read at once.
package etcd
