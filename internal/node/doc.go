// Package node runs one zrsd from start to end: it opens what a primary or a secondary needs, joins the parts, and
// takes them apart in the right order. Whatever wants a whole node calls Serve.
//
//	        ┌ admin server ◀── faces of all storages (a status from the first moment on)
//	Serve ──┤ garbage collector settings
//	        ├ a session for each storage:
//	        │     primary     listen ▶ storage, blobs, identity ▶ primary.Serve
//	        │     secondary   listen ▶ storage, blobs, identity ▶ secondary.Run     again after the storage has failed
//	        │                                                   ▶ primary.Serve     when it feeds others
//	        │     alone       storage, blobs, open and offered to clients
//	        └ Front: serves clients, ended before any session is, so that no client uses a storage that closes
//
// # Beginning and end
//
// The admin server answers before the storage is open, so that a node that rebuilds a large index is alive but not
// ready. What cannot be opened is a *StartError, what makes no sense a *ConfigError.
//
// When the context ends, a secondary first stops applying; then secondaries that the node feeds get what they lack,
// for at most DrainTimeout; then the storage waits for what is on its way to the disk, saves its index and releases
// its lock; the admin server answers until the end. That is no error.
//
// # Commands
//
// Operators have a storage packed, or ask what can be undone, through the admin server. A command finds the storage on
// the node's desk, where it lies from when it is open until just before it closes; taking it away ends the commands at
// work and waits for them. Who else must know of a pack, ZEO clients, is told by the Front.
//
//	admin server ──▶ control ──▶ desk ──▶ filestorage.Pack, UndoLog
//	                         └─▶ Front.Clients, Front.Resized
//
// # A failed storage
//
// A storage that could not tell any more what is on the disk takes no transactions until it is opened again. A
// secondary does that by itself, from time to time, because everything it lost comes again. It gives up only over
// damage.
//
// # Memory
//
// See memory.go: the garbage collector is held to a constant slack, whatever the size of the index.
package node
