// Package drill rehearses failovers: it runs a cluster of real zrsd processes, or uses one that is there, lets clients
// read and write throughout, makes something go wrong, does what an operator would do, and says what became of what the
// clients were told.
//
//	Scenario ── steps ──▶ Run ──▶ cluster   kill, freeze, wake, limit, promote, switch over, rewind, pack
//	                       │  └─▶ network   cut, silence, delay
//	                       └────▶ workload  writers and readers ──▶ history: what they were told
//	                                                                    │
//	Report ◀── figures ◀── verdict ◀── consistency.Check ◀── what the files have in the end
//
// # Choices
//
// All that is left to chance, as which node is killed and how many commits later it comes back, is drawn from a seed
// and the scenario's name. The same seed makes the same choices again; processes still run as fast as they run, so it
// is the same story and not the same history.
//
// A step waits for what it is about, such as twenty more commits, and not for a time. So a slow machine plays the same
// story more slowly. What does not come true within StepTimeout has failed.
//
// # What is promised
//
// With Sync, a commit is acknowledged when so many secondaries have it on their disks: none may be lost, whatever the
// scenario does. Without, commits that no secondary had may be set aside when the primary is lost. They must then be
// in what was set aside: nothing is ever just gone. Package history has the rules.
package drill
