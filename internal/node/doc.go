// Package node runs one zrsd process from start to end: it opens what a primary, a secondary or a standalone server
// needs, connects the parts, and closes them in the right order. Serve runs a whole process.
//
//	        ┌ admin server ◀── status of all storages, from the first moment on
//	Serve ──┤ front: serves ZEO clients; ends before any storage closes
//	        ├ garbage collector settings, systemd's watchdog, our own watchdog
//	        └ a session for each storage:
//	              primary, secondary   listen ▶ storage, blobs, state file ▶ serve secondaries ▶ lead or follow
//	                                   again after the storage has failed, or was rewound
//	              attached             listen ▶ attach to the files of another process ▶ serve secondaries
//	              standalone           storage and blobs
//
// # Start and stop
//
// The admin server answers before the storage is open: a node that rebuilds a large index is alive but not ready. What
// cannot be opened is a *StartError, a configuration that makes no sense a *ConfigError.
//
// When the context ends, the front disconnects its clients. Then a secondary stops following; secondaries of this node
// get what they lack, for at most DrainTimeout; the storage waits for writes under way, saves its index and releases
// its lock. The admin server answers until the end. None of that is an error.
//
// # Commands
//
// Operators have a storage packed, ask what can be undone, or change its role, through the admin server. A command
// takes the storage from the storage handle, which has it from when it is open until just before it closes; closing
// ends the commands at work and waits for them. ZEO clients are told the new size after a pack by the front, and pack
// with the same options.
//
//	admin server ──▶ control ──▶ storage handle ──▶ filestorage.Pack, UndoLog
//	                         └─▶ front.Clients, front.Resized
//
// # A failed storage
//
// A storage that cannot know any more what is on the disk takes no transactions until it is opened again. A secondary
// opens it again by itself, after a pause, because all that it lost comes again from its primary. It ends only over
// damage.
//
// # Memory
//
// See gc.go: garbage is limited to a constant amount, whatever the size of the index.
package node
