// Package refereetest has what every referee is tested with: the contract of referee.Referee as tests, and Memory, a
// referee in the memory of one process that fulfils it.
package refereetest
