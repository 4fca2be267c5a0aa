package config

var zeoTable = &table{
	typ: "zeo",
	doc: "The server for ZEO clients. Without this section the process only replicates.",
	keys: []entry{
		{name: "address", kind: "socket-binding-address", required: true,
			doc: "Where clients connect: `host:port`, `:port` or a port alone for all interfaces, or a path with " +
				"a slash " +
				"for a Unix socket."},
		{name: "read-only", kind: "boolean", preset: "false",
			doc: "Refuses all commits by clients. Packing is allowed."},
		{name: "invalidation-queue-size", kind: "integer", preset: "100",
			doc: "Transactions kept in memory, so that reconnecting clients need not verify their cache."},
		{name: "invalidation-age", kind: "seconds",
			doc: "Has no effect (a note at start says this): what a client has missed is looked up in the file, " +
				"however long it was disconnected."},
		{name: "transaction-timeout", kind: "seconds",
			doc: "How long a client may hold the commit lock. After that its connection is closed and the " +
				"transaction aborted."},
		{name: "pid-filename", kind: "existing-dirpath",
			doc: "File for the process id, while the server runs. Not written with `read-only`. Where it is not " +
				"set and " +
				"`INSTANCE_HOME` is in the environment, it is `$INSTANCE_HOME/var/ZEO.pid`."},
		{name: "client-conflict-resolution", kind: "boolean", preset: "false",
			doc: "Has no effect: conflicts of BTrees and counters are resolved in the server, all others by the " +
				"clients, which have the classes."},
		{name: "msgpack", kind: "boolean",
			doc: "Offers clients the protocol in msgpack instead of pickles. Where it is not set, a value in " +
				"`ZEO_MSGPACK` " +
				"means `true`."},
		{name: "max-clients", kind: "integer", preset: "10000", ours: true,
			doc: "The limit of registered clients. Further connections are closed at once."},
		{
			name:   "max-per-address",
			kind:   "integer",
			preset: "1000",
			ours:   true,
			doc: "The limit of connections that have not registered yet, per address (IPv6: per /64 network); a " +
				"new one replaces the oldest.",
		},
	},
	sections: []string{"ssl"},
	gone: map[string]string{
		"monitor-address": "ZEO itself dropped it: use <admin> with address, which answers /status and " +
			"/metrics",
		"authentication-protocol": "ZEO itself dropped it: use <ssl>",
		"authentication-database": "ZEO itself dropped it: use <ssl>",
		"authentication-realm":    "ZEO itself dropped it: use <ssl>",
		"server-sync":             "it is a setting of clients",
	},
}

var sslTable = &table{
	typ: "ssl",
	doc: "TLS with ZEO clients.",
	keys: []entry{
		{name: "certificate", kind: "existing-dirpath", required: true, doc: "The server's certificate, PEM."},
		{name: "key", kind: "existing-dirpath", doc: "Its key. Where it is not set, the key is in the " +
			"certificate's file."},
		{name: "password-function", kind: "string",
			doc:     "A Python function that returns the password of the key.",
			refused: "zrsd runs no Python: write the password into a file and name it with password-file"},
		{name: "password-file", kind: "existing-dirpath", ours: true,
			doc: "File whose first line is the password of the key."},
		{name: "authenticate", kind: "path", required: true,
			doc: "Certificates that those of clients must lead to: a file or a folder. `SIGNED` or `-`, which " +
				"stands for " +
				"those of the operating system, is not possible.",
		},
	},
	gone: map[string]string{
		"check-hostname":  "it is a setting of clients",
		"server-hostname": "it is a setting of clients",
	},
}

var adminTable = &table{
	typ: "admin",
	doc: "The HTTP server for `/status`, `/metrics`, `/healthz`, `/readyz` and commands. Ours.",
	keys: []entry{
		{name: "address", kind: "socket-binding-address", required: true, ours: true, doc: "Where it listens."},
		{name: "names", kind: "string-list", ours: true,
			doc: "Host names under which it answers, beside IP addresses, `localhost`, the machine's own and that of " +
				"`address`, with spaces between."},
		{name: "insecure-plain-text", kind: "boolean", preset: "false", ours: true,
			doc: "Allows an address that other machines can reach without `<tls>`."},
	},
	sections: []string{"tls"},
}

var tlsTable = &table{
	typ: "tls",
	doc: "TLS with certificates on both sides, in `<zrs>` and in `<admin>`. Reloaded at SIGHUP. Ours.",
	keys: []entry{
		{name: "certificate", kind: "path", required: true, ours: true, doc: "This side's certificate, PEM."},
		{name: "key", kind: "path", ours: true,
			doc: "Its key. Where it is not set, the key is in the certificate's file."},
		{name: "password-file", kind: "path", ours: true, doc: "File whose first line is the password of the key."},
		{name: "authority", kind: "path", ours: true,
			doc: "Certificates that those of peers must lead to: a file or a folder. Required in `<zrs>`."},
		{name: "peer-names", kind: "string-list", ours: true,
			doc: "Names of which a peer's certificate must have one, with spaces between."},
	},
}
