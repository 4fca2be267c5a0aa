// Package admin answers operators and their machines over HTTP, beside the replication port.
//
//	GET /status   JSON: everything there is to know, a documented contract (docs/status-json.md)
//	                    of several storages in one process: ?storage=NAME has the document of one
//	GET /metrics  Prometheus text, computed from the same Status at each scrape
//	GET /healthz  200 while the process runs, whatever replication does: a probe must not restart a node that waits
//	GET /readyz   200 when the node does its work, else 503 with the reason as text
//
//	GET /clients  JSON: the ZEO connections
//	GET /undo-log JSON: transactions that can be undone
//	POST /pack    packs a storage: JSON lines about its progress, then its result or an error
//
// All three take ?storage=NAME. What goes wrong is {"error": {"reason": …, "text": …}}.
//
// The package knows no storage and no role. It declares what it wants to know as the struct Status and gets it from a
// Source, and has commands done by a Control; whoever runs the node implements both. Nothing is counted here: a number
// that moves in /metrics moves in /status, and a test of one is a test of both.
//
// It tells names, paths and sizes to everybody who can reach it. A request that changes something is done only for who
// is on this machine or shows a certificate that was verified, and only with a header that web pages cannot send.
package admin
