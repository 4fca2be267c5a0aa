package config

const onlyFiles = "zrsd logs to files, STDOUT and STDERR: use <logfile>, and forward from there"

var eventlogTable = &table{
	typ: "eventlog",
	doc: "The log. Without this section it goes to standard error, at level `info`.",
	keys: []entry{
		{name: "level", kind: "logging-level", preset: "info",
			doc: "What is logged: `critical`, `error`, `warning`, `info`, `debug`, `trace` or `all`."},
	},
	sections: []string{"logfile"},
	gone: map[string]string{
		"syslog": onlyFiles, "win32-eventlog": onlyFiles, "http-logger": onlyFiles, "email-notifier": onlyFiles,
	},
}

var logfileTable = &table{
	typ: "logfile",
	doc: "One log destination. There may be several. SIGUSR2 reopens the files.",
	keys: []entry{
		{name: "path", kind: "path", required: true, doc: "A file, `STDOUT` or `STDERR`."},
		{name: "level", kind: "logging-level", preset: "notset",
			doc: "The level of this destination, within the level of the section around it."},
		{name: "format", kind: "string", preset: `------\n%(asctime)s %(levelname)s %(name)s %(message)s`,
			doc: "The format of a message: `asctime`, `levelname`, `levelno`, `name`, `message`, `process`, " +
				"`created` and `msecs`, as `%(asctime)s`, with widths as in Python. `\\n` and `\\t` stand for " +
				"themselves."},
		{name: "dateformat", kind: "string", preset: "%Y-%m-%dT%H:%M:%S",
			doc: "How `asctime` is written: `%Y %y %m %d %e %H %I %M %S %p %j %a %A %b %B %z %Z %f %F %T %%`."},
		{name: "max-size", kind: "byte-size", preset: "0",
			doc: "Size at which the file is moved to `.1`, `.1` to `.2` and so on; 0 for never."},
		{name: "old-files", kind: "integer", preset: "0", doc: "How many of those are kept. Required with " +
			"`max-size`."},
		{name: "when", kind: "string", doc: "Moves files by time.",
			refused: "zrsd moves log files by size only: use max-size, or logrotate and SIGUSR2"},
		{name: "interval", kind: "integer", preset: "0", doc: "Belongs to `when`.", refused: "it belongs to when: " +
			"leave it out"},
		{name: "encoding", kind: "utf-8 or UTF-8 or utf8", preset: "utf-8", doc: "The log is UTF-8."},
		{name: "delay", kind: "boolean", preset: "false", doc: "Creates the file with the first message.",
			refused: "zrsd creates the file at start, to say at once when it cannot: leave it out"},
		{name: "style", kind: "classic", preset: "classic", doc: "What the references in `format` look like: " +
			"those of `%`."},
		{name: "arbitrary-fields", kind: "boolean", preset: "false", doc: "Allows unknown fields in `format`.",
			refused: "there are no further fields: leave it out"},
		{name: "formatter", kind: "logging.Formatter or zope.exceptions.log.Formatter", preset: "logging.Formatter",
			doc: "The Python class that writes messages. Both write Python's tracebacks differently, which zrsd " +
				"has none of."},
	},
}

// runnerTable has what zdaemon knows. Its values are read and shown, and mean nothing to zrsd.
var runnerTable = &table{
	typ: "runner",
	doc: "Settings of zdaemon (`zeoctl`), which starts a server in the background. They mean nothing to `zrsd " +
		"serve`, " +
		"which stays in the foreground, as runzeo does: each one is listed at start and by " +
		"`zrsd config check`. systemd, a container or zdaemon itself do the same for zrsd.",
	sections: []string{"eventlog"},
	keys: []entry{
		{name: "program", kind: "string", doc: "The command: with zdaemon, `zrsd serve -C` and this file."},
		{name: "python", kind: "string", doc: "zdaemon's interpreter."},
		{name: "zdrun", kind: "string", doc: "zdaemon's script."},
		{name: "socket-name", kind: "string", doc: "zdaemon's control socket."},
		{name: "daemon", kind: "string", doc: "Detaching from the terminal: leave that to systemd or zdaemon."},
		{name: "directory", kind: "string", doc: "The working directory: set `WorkingDirectory` in systemd."},
		{name: "backoff-limit", kind: "string", doc: "The pause between restarts: `RestartSec` in systemd."},
		{name: "forever", kind: "string", doc: "Restarting without end: `Restart` in systemd."},
		{name: "exit-codes", kind: "string", doc: "Exit codes after which there is no restart."},
		{name: "start-test-program", kind: "string", doc: "A command that tells when the server is up: ask " +
			"`/readyz`."},
		{name: "start-timeout", kind: "string", doc: "The time for that."},
		{name: "stop-timeout", kind: "string", doc: "The time until SIGKILL: `TimeoutStopSec` in systemd; more than " +
			"`drain-timeout`."},
		{name: "user", kind: "string", doc: "The user to run as: `User` in systemd."},
		{name: "umask", kind: "string", doc: "The file mode mask: `UMask` in systemd."},
		{name: "hang-around", kind: "string", doc: "Whether zdaemon stays when the server has ended."},
		{name: "default-to-interactive", kind: "string", doc: "Whether zeoctl asks for commands."},
		{name: "logfile", kind: "string", doc: "The file that `zeoctl logtail` shows."},
		{name: "transcript", kind: "string", doc: "The file for standard output and error."},
		{name: "prompt", kind: "string", doc: "The prompt of zeoctl."},
	},
}
