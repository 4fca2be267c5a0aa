package warning

import "time"

// The codes.
const (
	Stalled           Code = "stalled"
	StorageFailed     Code = "storage_failed"
	StorageClosed     Code = "storage_closed"
	FilesWrong        Code = "files_wrong"
	CleanupLeft       Code = "cleanup_left"
	Damaged           Code = "damaged"
	VerifyFailed      Code = "verify_failed"
	VerifyOverdue     Code = "verify_overdue"
	ArchiveRefused    Code = "archive_refused"
	ArchiveAway       Code = "archive_away"
	ArchiveLate       Code = "archive_late"
	ArchiveDamaged    Code = "archive_damaged"
	ArchiveUnread     Code = "archive_unread"
	ArchiveUnverified Code = "archive_unverified"
	PackSkipped       Code = "pack_skipped"
	FutureTid         Code = "future_tid"
	DiskFull          Code = "disk_full"
	DiskLow           Code = "disk_low"
	DiskUnknown       Code = "disk_unknown"
	Conflict          Code = "conflict"
	Fenced            Code = "fenced"
	Frozen            Code = "frozen"
	NoLease           Code = "no_lease"
	Maintenance       Code = "maintenance"
	Learner           Code = "learner"
	SyncDegraded      Code = "sync_degraded"
	CoordinatorLost   Code = "coordinator_lost"
	SyncImpossible    Code = "sync_impossible"

	UpstreamLost    Code = "upstream_lost"
	UpstreamRefused Code = "upstream_refused"
	UpstreamFailed  Code = "upstream_failed"
	UpstreamLag     Code = "upstream_lag"

	NoSecondary         Code = "no_secondary"
	SecondaryLost       Code = "secondary_lost"
	SecondaryLag        Code = "secondary_lag"
	SecondaryStalled    Code = "secondary_stalled"
	SecondaryFailed     Code = "secondary_failed"
	SecondaryNotMounted Code = "secondary_not_mounted"
	SecondaryNoSpace    Code = "secondary_no_space"
	SecondaryReplaced   Code = "secondary_replaced"

	CertificateExpired Code = "certificate_expired"
	CertificateExpires Code = "certificate_expires"
	SecretExposed      Code = "secret_exposed"
	PlainZEO           Code = "zeo_plain_text"
	PlainReplication   Code = "replication_plain_text"
	PlainAdmin         Code = "admin_plain_text"
	ManyClients        Code = "clients_near_limit"

	ConfigWrong    Code = "config_wrong"
	NotOwner       Code = "not_owner"
	NetworkDisk    Code = "network_disk"
	SlowSync       Code = "slow_sync"
	FewFiles       Code = "few_open_files"
	WrongPort      Code = "wrong_port"
	ClockSkew      Code = "clock_skew"
	NodeSilent     Code = "node_silent"
	VersionsDiffer Code = "versions_differ"
	PackOld        Code = "pack_old"
	CacheSmall     Code = "client_cache_small"
	BackupOld      Code = "backup_old"

	UploadFailed     Code = "upload_failed"
	PackFailed       Code = "pack_failed"
	ChangeFailed     Code = "change_failed"
	CopyChanged      Code = "copy_changed"
	SetAside         Code = "set_aside"
	OptionLeft       Code = "option_left"
	SecondaryRefused Code = "secondary_refused"
	ExtensionLost    Code = "extension_lost"
	PythonTwo        Code = "python_two"
	ClientTimeout    Code = "client_timeout"
	ReloadFailed     Code = "reload_failed"
	LogLost          Code = "log_lost"
	NoAdmin          Code = "no_admin"
	SupervisorLost   Code = "supervisor_lost"
	Fault            Code = "fault"
	Stopped          Code = "stopped"
)

// SecondsBehind is how far a secondary may be behind.
const SecondsBehind = 30

const (
	byDoctor   = "only zrsd doctor looks for it"
	inLog      = "it is a line of the log, of when it happened"
	byItsOwner = "it is found when the process starts, and does not change while it runs"
)

// Table has every kind, in the order of docs/runbook.md.
var Table = []Kind{
	{
		Code: Stalled, Severity: Critical, LoggedBy: "internal/watchdog",
		Title: "Commits, or what follows the primary, have made no progress for ten seconds.",
		Means: "Clients wait, or the secondary falls behind. The node is not ready. Nothing that was " +
			"acknowledged is lost.",
		Cure: "look at what the text names: the disk (dmesg, iostat), the other nodes (zrsd status), the " +
			"coordinator; " +
			"where the disk hangs for good, stop the node and promote another one",
	},
	{
		Code: StorageFailed, Severity: Critical, LoggedBy: "filestorage",
		Title: "The primary takes no transactions.",
		Means: "Its disk has failed or is full, or too few secondaries answer. Clients can read and cannot commit.",
		Cure: "do what the text says: make room, repair the disk, start the secondaries; or make another node the " +
			"primary (zrsd switchover, zrsd promote)",
	},
	{
		Code: StorageClosed, Severity: Critical, After: time.Minute,
		Title: "The storage is not open.",
		Means: "No client is served and nothing is replicated. A large file without a saved index takes minutes " +
			"to open.",
		Cure: "wait where the text says that it is being opened; otherwise remove the cause that it names",
	},
	{
		Code: FilesWrong, Severity: Critical, LoggedBy: "internal/node",
		Title: "A file or folder of the node is not as it has to be: the blob directory, the state file, room on " +
			"the disk.",
		Means: "The node is not ready: it cannot show what it is to serve, or would not know who it is after a " +
			"restart.",
		Cure: "mend what the text names, such as mounting the disk or making room; the node notices by itself",
	},
	{
		Code: Damaged, Severity: Critical, LoggedBy: "internal/verify",
		Title: "The node's copy is damaged.",
		Means: "Some objects or blobs cannot be read here, or are not what was committed.",
		Cure: "see what zrsd status and zrsd verify name; zrsd heal takes the right bytes from another node; " +
			"look for " +
			"the cause at the disk (smartctl, dmesg)",
	},
	{
		Code: DiskFull, Severity: Critical,
		Title: "The disk is nearly full.",
		Means: "When no room is left the node takes no more transactions.",
		Cure:  "make room or enlarge the disk now; a pack needs as much room as the packed file will have",
	},
	{
		Code: DiskLow, Severity: Minor, After: time.Minute,
		Title: "The disk has little room left.",
		Means: "A pack may find too little room, and the disk will be full some day.",
		Cure:  "enlarge the disk, or pack while there is room for the packed file",
	},
	{
		Code: DiskUnknown, Severity: Minor, After: time.Minute, NoAlert: "a disk that fails has other warnings",
		Title: "The room on the disk cannot be found out.",
		Means: "Nobody is warned before the disk is full.",
		Cure:  "do what the error says; the folder must be there and readable",
	},
	{
		Code: CleanupLeft, Severity: Minor, LoggedBy: "filestorage",
		Title: "A recovery or a pack could not finish its cleanup.",
		Means: "Files that nobody needs use room. Commits continue, and it is tried again.",
		Cure:  "make possible what the text says could not be done, such as removing a file",
	},
	{
		Code: VerifyFailed, Severity: Minor, NoAlert: "damage that was found has an alert of its own, and so has a " +
			"verification that is overdue",
		Title: "The last verification did not come to its end.",
		Means: "Damage that there is may be unknown.",
		Cure:  "remove the cause that the text names, then run zrsd verify --once ADDR",
	},
	{
		Code: VerifyOverdue, Severity: Minor,
		Title: "The storage was not verified when it should have been.",
		Means: "Damage that there is may be unknown.",
		Cure:  "see why with zrsd status (verified); a higher --verify-rate lets a pass end sooner",
	},
	{
		Code: ArchiveRefused, Severity: Critical, After: time.Minute,
		Title: "This node must not write to the archive.",
		Means: "What is committed is not archived. The text says whether the archive has another history, a newer " +
			"epoch, or is of another storage.",
		Cure: "do what the text says; docs/backup.md, \"When a node is refused\"",
	},
	{
		Code: ArchiveAway, Severity: Critical, After: 5 * time.Minute,
		Title: "The archive takes nothing.",
		Means: "Commits go on and are not archived: a restore would end where the archive ends.",
		Cure: "see the text: the network, the credentials, the room of the store; the node goes on by itself, and " +
			"archives what it missed",
	},
	{
		Code:     ArchiveLate,
		Severity: Minor,
		After:    time.Minute,
		Title:    "The archive is behind.",
		Means: "What was committed last is not archived yet. After a pack that is so until the packed file " +
			"is archived.",
		Cure: "wait after a pack; otherwise raise --archive-rate, or see whether the network and the store " +
			"are slow",
	},
	{
		Code: ArchiveDamaged, Severity: Critical,
		Title: "A verification has found that the archive cannot be restored as a whole.",
		Means: "Moments that need what is damaged cannot be restored. Nothing that is archived is ever written again.",
		Cure: "zrsd archive verify names all that is wrong; bring back what the store has lost, if it can, and " +
			"verify again; otherwise give --archive another folder, and keep the old one for what can be restored " +
			"from it",
	},
	{
		Code: ArchiveUnverified, Severity: Minor,
		Title: "The archive was not verified for a long time.",
		Means: "Whether everything can be restored is not known.",
		Cure: "run zrsd archive verify URL, by a timer too (docs/backup.md), for an encrypted archive with " +
			"--identity; the node looks every ten minutes for what it has found",
	},
	{
		Code: PackSkipped, Severity: Minor, After: time.Minute,
		Title: "A pack by schedule was left out, has failed, or waits.",
		Means: "The data files grow until the next one.",
		Cure: "remove the cause that the text names; a pack that waits is begun then, for one that was left out use " +
			"zrsd pack on that node, or wait for the next one, with which the warning ends",
	},
	{
		Code: FutureTid, Severity: Minor, After: time.Minute,
		Title: "The last transaction is in the future.",
		Means: "A clock was ahead, or this one is behind. Times in the history are wrong; packs by age keep too much.",
		Cure:  "set the clocks of all nodes (chronyc tracking); tids continue from the last one by themselves",
	},
	{
		Code: Conflict, Severity: Critical, LoggedBy: "cluster",
		Title: "It is not clear which node may be primary.",
		Means: "A node with a conflict takes no transactions, so that no commit is made twice or lost.",
		Cure:  "do what the text says; docs/operations.md, \"Who a node is\", has each kind",
	},
	{
		Code: Fenced, Severity: Critical, LoggedBy: "cluster",
		Title: "This node was primary, and another node is now.",
		Means: "It takes no transactions and follows nobody.",
		Cure:  "make it follow the new primary with zrsd demote; docs/failover.md, \"Coming back\"",
	},
	{
		Code: Frozen, Severity: Minor, LoggedBy: "cluster", After: 10 * time.Minute,
		Title: "The primary is frozen.",
		Means: "It takes no transactions until it is thawed.",
		Cure:  "zrsd thaw ADDR, when what it was frozen for is done",
	},
	{
		Code: NoLease, Severity: Critical, After: 5 * time.Second, LoggedBy: "cluster/lease",
		Title: "The primary has no lease from the coordinator.",
		Means: "Commits are held. Another node may become primary.",
		Cure:  "see whether etcd answers (etcdctl endpoint health) and the coordinator's last error in zrsd status",
	},
	{
		Code: CoordinatorLost, Severity: Critical, After: 30 * time.Second, LoggedBy: "cluster/lease",
		Title: "The coordinator does not answer this node as it should.",
		Means: "While it does not, no node is promoted automatically, and a primary whose lease ends holds commits.",
		Cure: "see whether etcd (etcdctl endpoint health) or the API server of Kubernetes answers from this machine, " +
			"and whether certificates and rights are right",
	},
	{
		Code: Maintenance, Severity: Minor, After: time.Hour,
		Title: "No node is promoted or demoted automatically.",
		Means: "If the primary fails, nobody takes its place.",
		Cure:  "zrsd maintenance off --coordinator etcd://HOST:2379 --data Data.fs, when the work is done",
	},
	{
		Code: Learner, Severity: Minor, After: 10 * time.Minute, NoAlert: "its causes, being behind or without a " +
			"primary, have their own",
		Title: "This copy was begun anew and has not caught up with a primary.",
		Means: "It has no vote and cannot become primary.",
		Cure:  "let it catch up; see state and last error in zrsd status",
	},
	{
		Code: SyncDegraded, Severity: Critical, LoggedBy: "cluster",
		Title: "Commits do not wait for secondaries.",
		Means: "What is committed now may be lost with this node.",
		Cure:  "start the secondaries, or see why they are behind (zrsd status); it ends by itself",
	},
	{
		Code: SyncImpossible, Severity: Critical, After: 15 * time.Second,
		Title: "Fewer secondaries are connected than commits have to wait for.",
		Means: "Commits block, or degrade, until enough are connected.",
		Cure:  "start the secondaries, or lower --sync-secondaries; names must be those that --name gives",
	},
	{
		Code: UpstreamRefused, Severity: Critical, LoggedBy: "secondary",
		Title: "The primary refuses this secondary.",
		Means: "It is not replicated to any more, and falls behind.",
		Cure:  "do what the text says; docs/operations.md has a table of the reasons for a refusal",
	},
	{
		Code: UpstreamFailed, Severity: Critical, LoggedBy: "secondary",
		Title: "The storage of this secondary takes no transactions.",
		Means: "It falls behind and cannot replace the primary.",
		Cure:  "remove the cause that the text names: a full or failing disk, files that were moved",
	},
	{
		Code: UpstreamLost, Severity: Minor, After: 15 * time.Second, LoggedBy: "secondary",
		Title: "This secondary follows no primary.",
		Means: "It falls behind. If all secondaries say so there is no primary.",
		Cure: "see whether the primary runs and whether its replication address can be reached from here; if it is " +
			"lost, promote a secondary (zrsd promote)",
	},
	{
		Code: UpstreamLag, Severity: Minor, After: 15 * time.Second,
		Title: "This secondary is behind its primary.",
		Means: "Its clients read old states, and a promotion has to wait or would lose transactions.",
		Cure:  "see whether the lag falls; if not, look at the disk here and at the network between the nodes",
	},
	{
		Code: NoSecondary, Severity: Minor, After: 5 * time.Minute,
		Title: "No secondary is connected to the primary.",
		Means: "If this node is lost, everything since the last backup is.",
		Cure:  "start a secondary; where none is wanted, serve without replication",
	},
	{
		Code: SecondaryNotMounted, Severity: Critical,
		Title: "A secondary does not start because its disk is not mounted.",
		Means: "It is not replicated to.",
		Cure:  "mount the disk on that node and start it again",
	},
	{
		Code: SecondaryNoSpace, Severity: Critical,
		Title: "A secondary has no room on its disk.",
		Means: "It falls behind.",
		Cure:  "make room on that node",
	},
	{
		Code: SecondaryFailed, Severity: Critical,
		Title: "A secondary reports an error.",
		Means: "It falls behind while the error lasts.",
		Cure:  "remove the cause that the text names on that node; its log has more",
	},
	{
		Code: SecondaryReplaced, Severity: Minor,
		Title: "A secondary began with nothing, in place of one of the same name that had transactions.",
		Means: "Its disk was replaced, or is not mounted.",
		Cure: "if the disk was not replaced, stop that node and mount its disk; otherwise let it catch up: the " +
			"warning " +
			"ends with the next start of the primary",
	},
	{
		Code: SecondaryStalled, Severity: Minor, After: 15 * time.Second,
		Title: "A secondary is behind and makes no progress.",
		Means: "It falls further behind.",
		Cure:  "look at the disk and the log of that node",
	},
	{
		Code: SecondaryLost, Severity: Minor, After: time.Minute,
		Title: "A secondary was connected and is not any more.",
		Means: "It falls behind.",
		Cure: "start it, or see why it cannot connect; of one that was removed for good the primary forgets with its " +
			"next start",
	},
	{
		Code: SecondaryLag, Severity: Minor, After: 15 * time.Second,
		Title: "A secondary is behind this node.",
		Means: "Its clients read old states, and it cannot replace this node without a loss.",
		Cure:  "see whether the lag falls; if not, look at the disk there and at the network between the nodes",
	},
	{
		Code: CertificateExpired, Severity: Critical,
		Title: "The node's certificate has expired.",
		Means: "No peer accepts new connections with it.",
		Cure:  "renew it, then send SIGHUP",
	},
	{
		Code: CertificateExpires, Severity: Minor,
		Title: "The node's certificate expires within two weeks.",
		Means: "After that no peer accepts new connections with it.",
		Cure:  "renew it, then send SIGHUP",
	},
	{
		Code: SecretExposed, Severity: Minor, LoggedBy: "internal/node", NoAlert: byItsOwner,
		Title: "Every user of the machine can read the shared secret.",
		Means: "Every user of the machine can read and change the database.",
		Cure:  "chmod 600 its file, and replace the secret if another user may have read it",
	},
	{
		Code: PlainZEO, Severity: Minor, LoggedBy: "internal/node", NoAlert: byItsOwner,
		Title: "Clients are served in plain text at an address that other machines can reach.",
		Means: "Everybody who can connect can read and change everything.",
		Cure: "let only clients reach it, give it certificates (<ssl>, --zeo-tls-cert), or serve at an address " +
			"of this " +
			"machine",
	},
	{
		Code: PlainReplication, Severity: Minor, LoggedBy: "internal/node", NoAlert: byItsOwner,
		Title: "Nodes replicate in plain text over the network.",
		Means: "Everybody on the way can read and change everything.",
		Cure:  "use certificates (--tls-cert, --tls-key, --tls-ca)",
	},
	{
		Code: PlainAdmin, Severity: Minor, LoggedBy: "internal/node", NoAlert: byItsOwner,
		Title: "The admin server answers in plain text at an address that other machines can reach.",
		Means: "Everybody on the way can read names, paths and sizes.",
		Cure:  "use certificates (--admin-tls-cert), or a loopback address or Unix socket",
	},
	{
		Code: ManyClients, Severity: Minor,
		Title: "Nearly as many clients are connected as may be.",
		Means: "Further clients are refused.",
		Cure:  "find out who connects (zrsd clients); raise max-clients if they are genuine",
	},
	{
		Code: ConfigWrong, Severity: Critical, Doctor: true, NoAlert: byDoctor,
		Title: "The configuration has an error, or names a file that cannot be used.",
		Means: "The server does not start with it.",
		Cure:  "do what the text says; zrsd config check shows all errors",
	},
	{
		Code: NotOwner, Severity: Critical, Doctor: true, NoAlert: byDoctor,
		Title: "The files do not belong to the user of the server.",
		Means: "The server does not start, or makes files that another user cannot use.",
		Cure:  "run the server, and this command, as the user that owns the files; or chown the files",
	},
	{
		Code: NetworkDisk, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "The data file is on a network file system, or in memory.",
		Means: "Locks and syncs may not do what they do on a local disk: a power loss or a second server may damage " +
			"the file.",
		Cure: "put the Data.fs on a local disk, and let replication make copies",
	},
	{
		Code: SlowSync, Severity: Minor, Doctor: true,
		NoAlert: "the alert ZrsdSlowDisk goes by the syncs of real commits",
		Title:   "The disk is slow to make data durable.",
		Means:   "Each commit waits for two syncs.",
		Cure:    "use a disk with power loss protection, or see what else writes to this one (iostat -x)",
	},
	{
		Code: FewFiles, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "The limit of open files is too low for the clients that may connect.",
		Means: "Connections fail when it is reached.",
		Cure:  "raise it (LimitNOFILE in systemd, ulimit -n), or lower max-clients",
	},
	{
		Code: WrongPort, Severity: Critical, Doctor: true, NoAlert: byDoctor,
		Title: "Something else listens at an address of the configuration.",
		Means: "The server does not start, or peers reach the wrong service.",
		Cure:  "stop it, or give another address",
	},
	{
		Code: ClockSkew, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "The clocks of machines are apart.",
		Means: "Times in the history are wrong after a switchover, and lag in seconds is.",
		Cure:  "let chrony or systemd-timesyncd set the clocks of all machines",
	},
	{
		Code: NodeSilent, Severity: Minor, Doctor: true, NoAlert: "the alert ZrsdDown is about it",
		Title: "A node of the cluster does not answer.",
		Means: "What is said of it is what other nodes know, and it may take no part.",
		Cure:  "start it, or see why its admin address cannot be reached from the node that was asked",
	},
	{
		Code: VersionsDiffer, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "The nodes have different versions of zrsd.",
		Means: "That is meant for the time of an upgrade only.",
		Cure:  "upgrade the others, secondaries first",
	},
	{
		Code: PackOld, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "The storage was not packed for a month.",
		Means: "The file grows without end.",
		Cure:  "zrsd pack ADDR, once a week or so (pack-schedule, or a cron job)",
	},
	{
		Code: CacheSmall, Severity: Minor, Doctor: true, NoAlert: byDoctor,
		Title: "A client loads the same objects again and again.",
		Means: "Its cache is too small for what it works with. Each load costs it a round trip, and the server work.",
		Cure: "raise cache-size of <zeoclient> there, which is 20 MB unless it is set (with client NAME it survives " +
			"a restart), then cache-size of <zodb_db>",
	},
	{
		Code: BackupOld, Severity: Critical, Doctor: true, NoAlert: byDoctor,
		Title: "There is no backup of the last day.",
		Means: "What is deleted by mistake on one node is deleted on all: replication is no backup.",
		Cure:  "see why the backup job does not run; take one now (repozo)",
	},
	{
		Code: ArchiveUnread, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "An archive from which clients are served cannot be read, or a part of it.",
		Means: "Clients get an error, with the reason, for objects that are there and not in the local cache. All " +
			"others they read as before.",
		Cure: "see the text: where the store is away, it goes on by itself; what is damaged stays so: run zrsd " +
			"archive verify, and serve another moment, or one of another generation",
	},
	{
		Code: UploadFailed, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "A blob cannot be uploaded to the object store.",
		Means: "It stays on the disk of the node, and is tried again. The disk fills while that lasts.",
		Cure: "do what the error says: the network, the rights or the room of the store; the log " +
			"says when it works again",
	},
	{
		Code: PackFailed, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "A pack has failed.",
		Means: "The file stays as large as it is. Nothing is lost.",
		Cure:  "remove the cause that the text names, such as too little room, then pack again (zrsd pack ADDR)",
	},
	{
		Code: ChangeFailed, Severity: Critical, Event: true, NoAlert: inLog,
		Title: "A change of roles could not be carried out.",
		Means: "The node may stay what it was, while other nodes have changed.",
		Cure: "look at all nodes (zrsd status --cluster ADDR), and remove the cause that the text names; where it " +
			"does not come right by itself, promote the node that shall be primary",
	},
	{
		Code: CopyChanged, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "The files of the node were copied, moved or replaced while it was down.",
		Means: "It counts as a new copy, or has to catch up from what it has now.",
		Cure: "nothing, if that was on purpose; otherwise see what replaced them; docs/operations.md, " +
			"\"Who a node is\"",
	},
	{
		Code: SetAside, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "Transactions, or a whole copy, were set aside.",
		Means: "The node goes on without them; they are in a file or folder beside the data file.",
		Cure:  "see with zrsd salvage what they changed; remove them when nobody needs them any more",
	},
	{
		Code: OptionLeft, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "An option that is for one start only is still given.",
		Means: "It does nothing now, and would after the files were replaced.",
		Cure:  "remove it from the command or configuration with which the node is started",
	},
	{
		Code: SecondaryRefused, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "This node has refused a secondary.",
		Means: "That node is not replicated to by this one.",
		Cure:  "do what the reason says; docs/operations.md has a table of the reasons for a refusal",
	},
	{
		Code: ExtensionLost, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "The extension of a transaction cannot be sent in the protocol of zc.zrs.",
		Means: "The copy of that secondary has an empty one; its objects are the same.",
		Cure:  "replace the zc.zrs secondary by zrsd, which takes all",
	},
	{
		Code: PythonTwo, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "The data file was written by Python 2.",
		Means: "It is served as it is, and clients of Python 3 do not read it as it was meant.",
		Cure:  "convert it with zodbverify and zodbupdate --convert-py3, with no server running",
	},
	{
		Code: ClientTimeout, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "A client held the commit lock for longer than transaction-timeout.",
		Means: "Its transaction was aborted and it was disconnected; others had to wait meanwhile.",
		Cure:  "see what that client does in a commit (zrsd top ADDR), or whether its machine hangs",
	},
	{
		Code: ReloadFailed, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "Certificates could not be read again.",
		Means: "The old ones stay in use, until they expire.",
		Cure:  "mend the files that the text names, then send SIGHUP again",
	},
	{
		Code: LogLost, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "The log file could not be opened under its name again.",
		Means: "Lines go to the file that was moved away.",
		Cure:  "make its folder there and writable, then send SIGUSR2 or SIGHUP again",
	},
	{
		Code: NoAdmin, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "There is no admin address.",
		Means: "Commands such as zrsd status, pack and promote cannot reach the node.",
		Cure:  "give it one (--admin, <admin>)",
	},
	{
		Code: SupervisorLost, Severity: Minor, Event: true, NoAlert: inLog,
		Title: "Systemd cannot be told how the process is.",
		Means: "Systemd may stop it, because it takes it for one that does not start, or that hangs.",
		Cure:  "see that the unit has Type=notify and NotifyAccess=main, and that nothing changes NOTIFY_SOCKET",
	},
	{
		Code: Fault, Severity: Minor, Event: true, NoAlert: "the alert ZrsdPanics counts them",
		Title: "A fault in zrsd cost one connection or one request.",
		Means: "No data are at risk; where they could be, the process ends instead.",
		Cure:  "report it, with the stack that the log has",
	},
	{
		Code: Stopped, Severity: Critical, Event: true, NoAlert: "the alert ZrsdDown is about it",
		Title: "The process has ended by an error.",
		Means: "Clients and secondaries are without this node.",
		Cure:  "remove the cause that the text names, and start it again",
	},
}
