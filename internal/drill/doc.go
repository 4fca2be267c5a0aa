// Package drill rehearses failovers: it runs a cluster of real zrsd processes, or uses an existing one, with clients
// that read and write throughout, causes a failure, does what an operator would do, and checks all answers that the
// clients got.
//
//	Scenario ── steps ──▶ Run ──▶ cluster   kill, freeze, thaw, limit, promote, switch over, rewind, pack
//	                       │  └─▶ network   cut, silence, delay
//	                       └────▶ workload  writers and readers ──▶ history: their answers
//	                                                                    │
//	Report ◀── figures ◀── verdict ◀── consistency.Check ◀── what the files have in the end
//
// # Choices
//
// All random choices, such as which node is killed and how many commits later it comes back, are drawn from a seed
// and the scenario's name. The same seed makes the same choices again; the timing of processes still differs, so the
// steps are the same and the transactions are not.
//
// A step waits for an event, such as twenty more commits, and not for a time. So a slow machine runs the same scenario
// more slowly. A step that is not reached within StepTimeout has failed.
//
// # Guarantees
//
// With Sync, a commit is acknowledged when so many secondaries have it on their disks: none may be lost, whatever the
// scenario does. Without, commits that no secondary had may be set aside when the primary is lost. They must then be
// in what was set aside. Package consistency has the rules.
package drill
