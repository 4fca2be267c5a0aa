// Package integration proves the promises of zrsd from outside: real zrsd processes, real sockets and files, real
// ZODB as a peer, and everything that goes wrong in the field done to them on purpose. Each test tells one failure
// story, and its name is the promise that zrsd keeps.
//
//	daemon/    runs zrsd as a process
//	workload/  plays the application that commits
//	python/    peers that run the real ZODB, in the virtual environment that `make venv` prepares
//	demo/      the demonstration: make demo
//	bench/     the figures: make bench
//
// Tests with Python peers are skipped with a message where there is no Python; with ZRSD_REQUIRE_PYTHON=1 that is a
// failure. Stories with random faults print their seed, take it from ZRSD_SEED, and play more rounds with ZRSD_LONG=1
// (make longrun).
package integration
