package config

import "slices"

// archiveKeys are of the storage, and may be written around it.
var archiveKeys = []entry{
	{
		name: "archive",
		kind: "string",
		ours: true,
		doc: "The URL of an archive to which the storage is archived continuously: a folder " +
			"(`file:///backup/app`), " +
			"`s3://bucket/folder`, `gs://…` or `azblob://…`. See docs/backup.md.",
	},
	{name: "archive-interval", kind: "time-interval", preset: "10s", ours: true,
		doc: "How long what was committed may wait to be archived."},
	{name: "archive-bytes", kind: "byte-size", preset: "8MB", ours: true,
		doc: "With how much it does not wait."},
	{name: "archive-rate", kind: "byte-size", preset: "0", ours: true,
		doc: "The limit of what is written to the archive, per second; 0 for none."},
	{
		name: "archive-recipients",
		kind: "string-list",
		ours: true,
		doc: "Public keys of age (`age1…`), with spaces between, for whom the content of the archive is " +
			"encrypted.",
	},
}

var filestorageTable = &table{
	typ:   "filestorage",
	named: true,
	doc: "A Data.fs. Its name is what clients ask for; one storage may have none, and is called `1`. Inside " +
		"`<zrs>` or " +
		"`<blobstorage>` the outer name counts.",
	keys: slices.Concat([]entry{
		{name: "path", kind: "existing-dirpath", required: true,
			doc: "The Data.fs. Where there is none, an empty one is created."},
		{name: "blob-dir", kind: "existing-dirpath", doc: "The blob directory. Without one blobs are refused."},
		{name: "create", kind: "boolean", preset: "false",
			doc: "Whether the storage is emptied at every start.",
			refused: "it empties the storage at every start, which zrsd does not do: leave it out; a missing file " +
				"is " +
				"created anyway"},
		{name: "read-only", kind: "boolean", preset: "false",
			doc: "Opens the file for reading, without a lock. Not possible in `<zrs>`."},
		{name: "quota", kind: "byte-size",
			doc:     "A limit on the size of the file.",
			refused: "zrsd has no quota: leave it out, and limit the size with the file system"},
		{name: "packer", kind: "string",
			doc:     "A Python function that packs.",
			refused: "zrsd runs no Python: leave it out, zrsd packs by itself"},
		{name: "pack-gc", kind: "boolean", preset: "true",
			doc: "Whether packing removes objects without references (garbage collection)."},
		{name: "pack-keep-old", kind: "boolean", preset: "true",
			doc: "Whether packing keeps the old file as Data.fs.old."},
		{name: "pack-schedule", kind: "crontab", ours: true,
			doc: "When the storage is packed by itself: the five fields of a crontab, such as `0 3 * * sun`. In a " +
				"cluster write it on all nodes; see docs/operations.md, \"Packs by schedule\"."},
		{name: "pack-days", kind: "integer", preset: "1", ours: true,
			doc: "How many days of history packs by schedule leave."},
		{name: "verify-interval", kind: "time-interval", preset: "7d", ours: true,
			doc: "How often the storage is verified: see docs/operations.md. 0 for never."},
		{name: "verify-rate", kind: "byte-size", preset: "64MB", ours: true,
			doc: "The limit of bytes that a verification reads per second; 0 for none."},
		{name: "verify-blobs", kind: "time-interval", preset: "28d", ours: true,
			doc: "How long ago a blob must have been read by a verification to be read again."},
		{name: "reclaim-age", kind: "time-interval", preset: "7d", ours: true,
			doc: "How old temporary files of zrsd must be for a verification to remove them; 0 for never."},
		{name: "heal", kind: "by-role or auto or ask", preset: "by-role", ours: true,
			doc: "When damage is replaced by what another node has: `auto`, `ask` (with `zrsd heal`), or `by-role`: " +
				"`auto` on a secondary, `ask` on a primary; see docs/operations.md."},
	}, archiveKeys),
	gone: map[string]string{
		"stop": "it is no key of ZODB's configuration: leave it out",
	},
}

var blobstorageTable = &table{
	typ:   "blobstorage",
	named: true,
	doc:   "The older way to give the `<filestorage>` inside it a blob directory.",
	keys: []entry{
		{name: "blob-dir", kind: "path", required: true, doc: "The blob directory."},
	},
	sections: []string{"filestorage"},
}

var zlibTable = &table{
	typ:   "zlibstorage",
	named: true,
	doc: "Of zc.zlibstorage, for clients without it: the storage inside has compressed records, which clients send " +
		"and get as they were before. It costs processor time here. Where all clients have `<zlibstorage>` around " +
		"their `<zeoclient>`, write `<serverzlibstorage>` instead.",
	keys: []entry{
		{
			name:   "compress",
			kind:   "boolean",
			preset: "true",
			doc: "Whether records are compressed. Those that are compressed already are decompressed for clients all " +
				"the same.",
		},
	},
	sections: []string{"filestorage", "blobstorage"},
}

var serverZlibTable = &table{
	typ:   "serverzlibstorage",
	named: true,
	doc: "Of zc.zlibstorage, for clients that have `<zlibstorage>`: the storage inside has compressed records. " +
		"zrsd reads them " +
		"wherever it reads records (packs, conflicts), also without this section.",
	keys: []entry{
		{
			name:   "compress",
			kind:   "boolean",
			preset: "true",
			doc:    "Has no effect: what clients send is stored as it is.",
		},
	},
	sections: []string{"filestorage", "blobstorage"},
	gone:     map[string]string{"zrs": "write <zrs> around <serverzlibstorage>"},
}

var zrsTable = &table{
	typ:   "zrs",
	named: true,
	doc: "Replicates the storage that it has inside. With `replicate-from` it is a secondary, with `replicate-to` " +
		"it is " +
		"a primary, with both a secondary that has secondaries of its own. At least one is needed.",
	sections: []string{"filestorage", "blobstorage", "zlibstorage", "serverzlibstorage", "tls"},
	keys: slices.Concat([]entry{
		{name: "replicate-to", kind: "socket-binding-address", doc: "Where secondaries connect."},
		{name: "replicate-from", kind: "socket-address",
			doc: "The address of the primary. Ours: several addresses with commas between; they are tried in turn."},
		{name: "members", kind: "socket-address", ours: true,
			doc: "The other nodes, with commas between: where this node looks for the primary when it is a " +
				"secondary. A setting of primaries; a secondary has them in `replicate-from`."},
		{name: "advertise", kind: "socket-binding-address", ours: true,
			doc: "Where other nodes reach `replicate-to`, if they cannot use that address or this machine's name."},
		{name: "name", kind: "string", ours: true,
			doc: "The name of this node for other nodes, and in `sync-secondaries`. The default is the host and " +
				"the data file."},
		{name: "sync-secondaries", kind: "number of names", preset: "0", ours: true,
			doc: "How many secondaries a commit waits for, of all or of the named ones: `1`, or `1 of db2, db3`. " +
				"See docs/failover.md."},
		{name: "sync-ack", kind: "durable or applied", preset: "durable", ours: true,
			doc: "When a secondary counts: the transaction is on its disk (`durable`), or its readers see it " +
				"(`applied`)."},
		{name: "sync-timeout", kind: "time-interval, and block or degrade", preset: "10s block", ours: true,
			doc: "The time limit, and what happens then: commits keep waiting (`block`), or stop waiting until " +
				"enough secondaries have caught up (`degrade`)."},
		{name: "keep-alive-delay", kind: "seconds", preset: "0",
			doc: "How often a secondary sends a keep-alive to a primary of zc.zrs; 0 for never."},
		{name: "protocol", kind: "auto or native or zrs2", preset: "auto", ours: true,
			doc: "The protocol to the primary. `zrs2` is the protocol of zc.zrs, `auto` tries native first. A " +
				"setting of secondaries."},
		{name: "blobs", kind: "local or shared", preset: "local", ours: true,
			doc: "`shared`: the blob directory is the primary's own, as on a NAS: blobs are not sent, nothing is " +
				"written " +
				"there. A setting of secondaries."},
		{name: "blob-cache-size", kind: "byte-size", preset: "0", ours: true,
			doc: "The target size of the blob directory, which is a cache then: other blobs are fetched from " +
				"another node or the object store when somebody asks; 0: it has all blobs. The key of ZEO's " +
				"clients."},
		{name: "blob-cache-size-check", kind: "integer", preset: "10", ours: true,
			doc: "How many percent of it come before it is looked what is too much, and are free afterwards."},
		{name: "blobs-store", kind: "string", ours: true,
			doc: "URL of an object store that has all blobs: `s3://`, `gs://`, `azblob://` or `file://`, see " +
				"[blobs](blobs.md)."},
		{name: "blobs-upload", kind: "now or later", preset: "now", ours: true,
			doc: "When a blob is put there: `now`, before clients hear of the commit, or `later`, before it may " +
				"leave this node."},
		{name: "blobs-store-grace", kind: "time-interval", preset: "0s", ours: true,
			doc: "The primary removes an object from there that nothing has needed for so long; 0: none."},
		{name: "secret-file", kind: "path", ours: true,
			doc: "File with a secret that both sides must have. It does not encrypt."},
		{name: "coordinator", kind: "string", ours: true,
			doc: "The coordinator that decides which node is primary: `etcd://host:2379`, several hosts with " +
				"commas between, or `kubernetes://` in a pod. Without it you change roles by hand."},
		{name: "coordinator-prefix", kind: "string", ours: true,
			doc: "Where the keys of this storage are, or the name of its Lease; default: `/zrsd/` or `zrsd-`, and " +
				"the storage id."},
		{name: "coordinator-ttl", kind: "time-interval", preset: "10s", ours: true,
			doc: "How long a silent primary keeps its lease."},
		{name: "coordinator-authority", kind: "path", ours: true,
			doc: "The authorities of the coordinator's certificates, for TLS."},
		{name: "coordinator-certificate", kind: "path", ours: true, doc: "The certificate to show to the coordinator."},
		{name: "coordinator-key", kind: "path", ours: true, doc: "Its key, if that is not in the same file."},
		{name: "coordinator-user-file", kind: "path", ours: true, doc: "File with USER:PASSWORD for the " +
			"coordinator, or the token for Kubernetes; default: the pod's."},
		{name: "insecure-plain-text", kind: "boolean", preset: "false", ours: true,
			doc: "Allows connections to other machines without `<tls>`."},
		{name: "heartbeat", kind: "time-interval", preset: "5s", ours: true,
			doc: "How often the last tid is sent to secondaries."},
		{name: "max-secondaries", kind: "integer", preset: "16", ours: true,
			doc: "The limit of connected secondaries."},
		{name: "max-seeds", kind: "integer", preset: "2", ours: true,
			doc: "The limit of secondaries that take the data file as it is, at a time."},
		{name: "seed-rate", kind: "byte-size", preset: "0", ours: true,
			doc: "The limit of what they get together, per second; 0 for none."},
		{name: "max-diffs", kind: "byte-size", preset: "16GB", ours: true,
			doc: "The limit of what one of them gets in a turn while others wait for theirs; 0 for none."},
		{name: "seed-threshold", kind: "byte-size", preset: "64MB", ours: true,
			doc: "By how much a primary's data file must be longer for this node to take it as it is, at most 4MB " +
				"where blobs are sent, too; a new copy always does; 0 for never."},
		{name: "seed-compress", kind: "boolean", preset: "false", ours: true,
			doc: "The primary compresses what it sends of its files as they are: for a thin line."},
		{name: "expect-data", kind: "boolean", preset: "false", ours: true,
			doc: "The files must be there: an empty folder counts as a disk that is not mounted, and the node does " +
				"not start."},
		{name: "reseed", kind: "ask or auto", preset: "ask", ours: true,
			doc: "What a secondary does that has lost its data file: `ask` says the command for an operator, `auto` " +
				"sets aside what there is, and takes everything anew from the primary."},
		{name: "seed-from", kind: "socket-address", ours: true,
			doc: "Nodes whose data file is taken as it is, before the primary is connected to: other secondaries, " +
				"to spare it. A setting of secondaries."},
		{name: "seed-archive", kind: "string", ours: true,
			doc: "The URL of an archive from which an empty secondary is filled, before the primary is connected to."},
		{name: "spare", kind: "boolean", preset: "false", ours: true,
			doc: "This secondary follows the primary only while another node of `replicate-from` is out."},
		{name: "spare-after", kind: "time-interval", preset: "30s", ours: true,
			doc: "For how long a node must be out before a spare takes its place."},
		{name: "apply-delay", kind: "time-interval", preset: "0s", ours: true,
			doc: "How old a transaction has to be before ZEO clients of this secondary see it, such as `4h`. It is " +
				"received at once. See docs/reports.md."},
		{name: "max-per-address", kind: "integer", preset: "8", ours: true,
			doc: "The limit of unauthenticated connections per address; a new one replaces the oldest."},
		{name: "handshake-timeout", kind: "time-interval", preset: "30s", ours: true,
			doc: "The time limit for a handshake."},
		{name: "idle-timeout", kind: "time-interval", preset: "60s", ours: true,
			doc: "The time limit without any message, or without progress, from a peer."},
		{name: "drain-timeout", kind: "time-interval", preset: "60s", ours: true,
			doc: "The time limit for secondaries to catch up when the process stops."},
		{name: "ready-lag", kind: "time-interval", preset: "60s", ours: true,
			doc: "The lag up to which a secondary is ready."},
		{name: "max-record", kind: "byte-size", preset: "1GB", ours: true,
			doc: "The size limit of a record on a secondary."},
		{name: "max-frame", kind: "byte-size", preset: "196748", ours: true,
			doc: "The size limit of a frame of the native protocol on a secondary: the metadata of a transaction. " +
				"The default is the maximum of the protocol."},
	}, archiveKeys),
	gone: map[string]string{
		"replication-address": "zc.zrs 2 calls it replicate-to",
	},
}
