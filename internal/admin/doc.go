// Package admin is the HTTP server for operators and their tools, beside the replication port.
//
//	GET /         HTML for browsers: the status page (?storage=NAME); text for others
//	GET /status   JSON: the whole status, a documented contract (docs/status-json.md)
//	                    of several storages in one process: ?storage=NAME has the document of one
//	GET /cluster  JSON: what the node knows of all nodes of a storage (?storage=NAME), after asking them
//	GET /metrics  Prometheus text, computed from the same Status at each scrape
//	GET /healthz  200 while the process runs, whatever replication does: a probe must not restart a node that waits
//	GET /readyz   200 when the node is ready, else 503 with the reason as text
//
//	GET /clients  JSON: the ZEO connections
//	GET /undo-log JSON: transactions that can be undone
//	POST /inside  answers a question about what is inside of a storage: JSON lines with parts of a document
//	POST /feed    JSON lines: the transactions after one, as documents of package feed
//	POST /pack    packs a storage: JSON lines about its progress, then its result or an error
//
// They take ?storage=NAME. An error is {"error": {"reason": …, "text": …}}.
//
// The package knows no storage and no role. It declares the struct Status and gets it from a
// Source, and passes commands to a Control; the node implements both. Nothing is counted here: a number
// that moves in /metrics moves in /status, and a test of one is a test of both.
//
// It shows names, paths and sizes to everybody who can reach it. A request that changes something is accepted only from
// this machine or with a verified certificate, and only with a header that web pages cannot send.
package admin
