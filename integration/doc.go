// Package integration proves the guarantees of zrsd from outside: real zrsd processes, real sockets and files, real
// ZODB as a peer, and everything that goes wrong in the field done to them on purpose. Each test is one kind
// of failure, and its name says what zrsd guarantees.
//
//	daemon/    runs zrsd as a process
//	workload/  plays the application that commits
//	python/    peers that run the real ZODB and the real zc.zrs, in the virtual environments that `make venv` prepares
//	demo/      the demonstration: make demo
//	bench/     the figures: make bench
//	zeoload/   plays many ZEO clients, to measure a server
//	zeotests/  runs the tests of the ZEO package against a server
//
// There are two environments, because the released zc.zrs does not work with the newest ZODB: zodb (requirements.txt)
// judges what is in files and follows them, zrs (requirements-zrs.txt) replicates. All of it runs on Python 3. Peers
// that run on Python 2 cannot be had any more: what they send is known from recorded streams only.
//
// Tests with Python peers are skipped with a message where there is no Python; with ZRSD_REQUIRE_PYTHON=1 that is a
// failure. Stories with random faults print their seed, take it from ZRSD_SEED, and play more rounds with ZRSD_LONG=1
// (make longrun, make soak).
package integration
