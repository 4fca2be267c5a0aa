// Package daemon runs zrsd as a real process and talks to it the way an operator does: through its command line, its
// signals, its log and its admin address. Drills, the end-to-end tests, the demonstration and the benchmark share it.
//
// A Child is a program of which only the end is of interest; a Process is a zrsd whose log and status are read.
//
// A Process is started, waited for (never by sleeping: Await asks the admin address again and again until a condition
// holds or the context ends), and stopped with SIGTERM or SIGKILL. Whoever starts one ends it. A Process that ends on
// its own is noticed by every wait, which then returns its exit code and the end of its log.
package daemon
