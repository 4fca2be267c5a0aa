// Package leasetest has what every coordinator is tested with: the contract of lease.Coordinator as tests, and Memory,
// a coordinator in the memory of one process that fulfils it.
package leasetest
