// Package kubernetes is a lease.Coordinator that is the API server of Kubernetes. In a namespace it keeps Lease
// objects (coordination.k8s.io/v1) with one label, the name of the storage:
//
//	NAME                the leader lease: who holds it, and as annotations the record and the holder's status
//	NAME-member-NODE    the status of a member
//	NAME-maintenance    maintenance
//
// # Time
//
// The API server takes no lease away: a Lease says how long it is good for, and everybody judges that himself. Nobody
// believes renewTime, which is of another machine's clock: it is for people. A holder writes another random text
// (zrsd/beat) with each renewal. A client notes on its own monotonic clock when it first saw that text, and takes the
// lease for vacant, or a member for gone, when the object has still the same one after the whole duration. Whoever
// renewed it did so before it was seen, so its own expiry is over by then, provided that both clocks run at the rates
// that the package lease assumes. A client that has just started therefore waits for a whole duration, whatever the
// object says. An administrator who sets a label neither renews a lease nor ends it.
//
// # One order
//
// Each change of the leader lease names the resourceVersion that it builds on, and the API server refuses it when
// there is a younger one: to acquire is to replace exactly the object that was seen unchanged for its duration. So
// the lease is taken once, however many clients find it vacant at once, and a renewal that comes late changes
// nothing.
//
// Revisions of views are resourceVersions (of etcd's history, which only rises), with room below for what changes
// with time alone.
//
// # No client-go
//
// It is one small JSON object and six verbs. client-go would bring caches and generated types of everything else.
package kubernetes
