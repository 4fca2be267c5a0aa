package admin

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A metric is one of our own. Values that are not known have no sample.
type metric struct {
	desc   *prometheus.Desc
	name   string
	kind   string // gauge, counter or histogram
	help   string
	labels []string
}

// A group is a part of docs/metrics.md.
type group struct {
	title   string
	metrics []*metric
}

// groups are all metrics, in the order of the page.
var groups = []*group{&aProcess, &zeoClients, &theStorage, &archiving, &verification, &replication, &failover}

func (g *group) add(kind, name, help string, labels []string) *metric {
	name = "zrsd_" + name
	m := &metric{prometheus.NewDesc(name, help, labels, nil), name, kind, help, labels}
	g.metrics = append(g.metrics, m)
	return m
}

func (g *group) gauge(name, help string, labels ...string) *metric {
	return g.add("gauge", name, help, labels)
}

func (g *group) counter(name, help string, labels ...string) *metric {
	return g.add("counter", name, help, labels)
}

func (g *group) histogram(name, help string) *metric { return g.add("histogram", name, help, nil) }

var (
	aProcess = group{title: "Node"}

	mBuild = aProcess.gauge("build_info", "Always 1; version and role are in the labels.", "version", "goversion",
		"role")
	mStart = aProcess.gauge("start_time_seconds", "When the node was started, Unix time.")
	mReady = aProcess.gauge("ready", "1 when /readyz answers 200.")
	mLive  = aProcess.gauge("live", "1 when /livez answers 200.")

	mWarnings = aProcess.gauge("warnings", "Warnings that hold now, by the codes of docs/runbook.md.", "code",
		"severity")
	mTroubles = aProcess.gauge("troubles", "Those of the warnings that are found inside the node, stalls included.")
	mStall    = aProcess.gauge("stall_seconds",
		"For how long commits, or replication from the primary, have made no progress.")
)

var (
	zeoClients = group{title: "ZEO clients"}

	mZEOClients  = zeoClients.gauge("zeo_clients", "Clients that are connected.")
	mLoads       = zeoClients.counter("zeo_loads_total", "Objects loaded by clients.")
	mStores      = zeoClients.counter("zeo_stores_total", "Objects stored by clients.")
	mCommits     = zeoClients.counter("zeo_commits_total", "Transactions committed by clients.")
	mAborts      = zeoClients.counter("zeo_aborts_total", "Transactions aborted by clients.")
	mConflicts   = zeoClients.counter("zeo_conflicts_total", "Conflicts that clients were told.")
	mResolved    = zeoClients.counter("zeo_conflicts_resolved_total", "Conflicts that the server merged.")
	mInvalidates = zeoClients.counter("zeo_invalidations_total", "Invalidations put out for clients, one for each of "+
		"them and each transaction.")
	mVoting    = zeoClients.gauge("zeo_transactions_voting", "Transactions that vote or wait for the commit lock.")
	mCommit    = zeoClients.histogram("zeo_commit_seconds", "Time from tpc_finish to its answer.")
	mUploads   = zeoClients.counter("zeo_blob_uploads_total", "Blobs that clients sent.")
	mDownloads = zeoClients.counter("zeo_blob_downloads_total", "Blobs that were sent to clients.")
	mReceived  = zeoClients.counter("zeo_received_bytes_total", "Bytes received from clients, before TLS is added.")
	mSent      = zeoClients.counter("zeo_sent_bytes_total", "Bytes sent to clients, before TLS is added.")
	mQueued    = zeoClients.gauge("zeo_queue_bytes", "Bytes that wait for clients to read them.")

	mDamagedLoads = zeoClients.counter("damaged_loads_total", "Calls of clients that met damage, by whether another "+
		"node had what was to be there.", "result")
)

var (
	theStorage = group{title: "Storage"}

	mLastTid  = theStorage.gauge("last_tid_timestamp_seconds", "Time in the tid of the last transaction, Unix time.")
	mSize     = theStorage.gauge("storage_size_bytes", "End of the committed part of the data file.")
	mObjects  = theStorage.gauge("storage_objects", "Objects in the index, deleted ones included.")
	mTxnCount = theStorage.gauge("storage_transactions", "Transactions in the hash chain, since its base.")
	mSync     = theStorage.histogram("storage_sync_seconds", "Time of a sync (fsync) of the data file.")
	mLock     = theStorage.histogram("storage_commit_lock_wait_seconds", "Time that a transaction waits for the "+
		"commit lock.")
	mDiskFree = theStorage.gauge("disk_free_bytes", "Room on the disks with files of the node.", "folder")
	mDiskSize = theStorage.gauge("disk_size_bytes", "Size of the disks with files of the node.", "folder")
	mBlobs    = theStorage.gauge("blob_files", "Files of blobs, as of the last verification.")
	mBlobSize = theStorage.gauge("blob_size_bytes", "Size of all blobs, as of the last verification.")

	mCacheBytes   = theStorage.gauge("blob_cache_bytes", "Blobs in the blob cache.")
	mCacheTarget  = theStorage.gauge("blob_cache_target_bytes", "What it is kept at.")
	mCacheHits    = theStorage.counter("blob_cache_hits_total", "Blobs that were asked for and in the blob cache.")
	mCacheMisses  = theStorage.counter("blob_cache_fetches_total", "Blobs that were asked for elsewhere.")
	mCacheFailed  = theStorage.counter("blob_cache_fetch_failures_total", "Of these, those that did not come.")
	mCacheFetched = theStorage.counter("blob_cache_fetched_bytes_total", "What came.")
	mCacheEvicted = theStorage.counter("blob_cache_evicted_total", "Blobs that were dropped from it.")
	mStoreWaiting = theStorage.gauge("blob_store_waiting", "Blobs that were committed here and are not in the object "+
		"store yet.")
	mStoreFails    = theStorage.gauge("blob_store_failing", "1 while uploads to the object store fail.")
	mStoreUploads  = theStorage.counter("blob_store_uploads_total", "Blobs that were put into the object store.")
	mStoreUploaded = theStorage.counter("blob_store_uploaded_bytes_total", "Their size.")
	mStoreUnneeded = theStorage.gauge("blob_store_unneeded", "Objects in the object store that nothing needs any "+
		"more, and that stay for the grace time.")
	mStoreUnneededBytes = theStorage.gauge("blob_store_unneeded_bytes", "Their size.")
	mStoreRemoved       = theStorage.counter("blob_store_removed_total", "Objects that were removed from the object "+
		"store.")
	mStoreRemovedBytes = theStorage.counter("blob_store_removed_bytes_total", "Their size.")
	mStoreCleanFails   = theStorage.gauge("blob_store_cleaning_failing", "1 while unneeded objects cannot be removed.")

	mPackLast = theStorage.gauge("pack_last_timestamp_seconds", "When the last pack since the start ended, Unix "+
		"time.")
	mPackSeconds = theStorage.gauge("pack_last_duration_seconds", "How long it took.")
	mPackFreed   = theStorage.gauge("pack_last_reclaimed_bytes", "By how much it made the data file shorter.")

	mPackRunning = theStorage.gauge("pack_running", "1 while the storage is being packed.")
	mPackNext    = theStorage.gauge("pack_schedule_next_timestamp_seconds", "When the next pack by schedule is due, "+
		"Unix time.")
	mPackDone = theStorage.gauge("pack_schedule_last_timestamp_seconds", "When the last pack by schedule ended, "+
		"Unix time, over restarts.")
	mPackLate = theStorage.gauge("pack_schedule_late", "1 while a pack by schedule waits, was left out, or failed.")
)

var (
	archiving = group{title: "Archive"}

	mArchiveState    = archiving.gauge("archive_state", "1 for the state of the archive.", "state")
	mArchiveComplete = archiving.gauge("archive_complete", "1 when the present can be restored from the archive.")
	mArchiveLagBytes = archiving.gauge("archive_lag_bytes", "Bytes of the data file that are not in the archive.")
	mArchiveLagTxns  = archiving.gauge("archive_lag_transactions", "Transactions that are not in the archive.")
	mArchiveLagSecs  = archiving.gauge("archive_lag_seconds", "For how long something has not been in the archive.")
	mArchiveLast     = archiving.gauge(
		"archive_last_timestamp_seconds",
		"When everything was in the archive last, Unix "+
			"time.",
	)
	mArchiveBytes    = archiving.counter("archive_bytes_total", "Bytes that were stored in the archive.", "kind")
	mArchiveSegments = archiving.counter("archive_segments_total", "Segments that were stored in the archive.")
	mArchiveFailures = archiving.counter("archive_failures_total", "Attempts to write to the archive that failed.")
	mArchiveGen      = archiving.gauge("archive_generation", "Generation of the archive that is written.")
	mArchiveTid      = archiving.gauge("archive_tid_timestamp_seconds", "Time in the last tid that is in the archive, "+
		"Unix time.")
	mArchiveVerified = archiving.gauge("archive_verified_timestamp_seconds", "When the last verification of the "+
		"archive began that found nothing wrong, Unix time.")
	mArchiveDamaged = archiving.gauge("archive_damaged", "1 when the last verification of the archive found something "+
		"wrong.")

	verification = group{title: "Verification and damage"}

	mVerifyRunning  = verification.gauge("verify_running", "1 while a verification runs.")
	mVerifyProgress = verification.gauge("verify_progress_ratio", "How much of the data file it has read.")
	mVerifyLast     = verification.gauge("verify_last_pass_timestamp_seconds", "When the last verification came to "+
		"its end, Unix time.")
	mVerifySeconds  = verification.gauge("verify_last_pass_seconds", "How long the last verification took.")
	mVerifyFindings = verification.gauge("verify_findings", "Findings of the last verification.", "severity")
	mVerifyPasses   = verification.counter("verify_passes_total", "Verifications that came to their end.")
	mVerifyResults  = verification.counter("verify_results_total", "Outcomes of verifications, by the words of "+
		"docs/commands-json.md.", "result")
	mVerifyBytes = verification.counter("verify_bytes_total", "Bytes of data files and blobs that verifications read.")
	mDamaged     = verification.gauge("damaged_parts", "Parts of the copy that are known to be damaged and are not "+
		"healed.")
)

var (
	replication = group{title: "Replication"}

	mTxns = replication.counter("transactions_total", "Transactions streamed: sent to secondaries, or applied.", "role",
		"direction")
	mBytes = replication.counter("bytes_total", "Bytes of the transactions streamed, on the wire.", "role",
		"direction")
	mCatchUps = replication.counter("catch_ups_total", "What secondaries lacked when they connected, by the words of "+
		"docs/replication.md.", "result")
	mReconnects   = replication.counter("reconnects_total", "Connections to the primary that had to be made again.")
	mDigestErrors = replication.counter("digest_errors_total", "Connections to the primary that ended because what "+
		"arrived was not what was sent.")
	mRefusals = replication.counter("refusals_total", "Handshakes refused, given and received, by reason.", "code")

	mDelay = replication.gauge("apply_delay_seconds", "How old a transaction has to be before clients of this "+
		"secondary see it.")
	mShown = replication.gauge("shown_tid_timestamp_seconds", "With such a delay, the time in the last tid that "+
		"clients see, Unix time.")
	mHeld = replication.gauge("apply_until", "1 while zrsd apply-until holds what clients see.")

	mSecondaries = replication.gauge("secondaries", "Secondaries, disconnected ones included.", "state")
	mProtocols   = replication.gauge("secondaries_by_protocol", "Secondaries, disconnected ones included.", "protocol")
	mSecSeconds  = replication.gauge("secondary_lag_seconds", "Lag of a secondary; of several connections of one name "+
		"the one with most.", "name")
	mSecBytes   = replication.gauge("secondary_lag_bytes", "Likewise.", "name")
	mSecTxns    = replication.gauge("secondary_lag_transactions", "Likewise.", "name")
	mSecApplied = replication.gauge("secondary_applied_tid_timestamp_seconds", "Time in the last tid that a secondary "+
		"says to show to readers, Unix time.", "name")
	mSecDurable = replication.gauge("secondary_durable_tid_timestamp_seconds", "Time in the last tid that a secondary "+
		"says to have on its disk, Unix time.", "name")
	mSecSentTxns = replication.counter("secondary_sent_transactions_total", "Transactions sent on the present "+
		"connections of a secondary.", "name")
	mSecSentBytes = replication.counter("secondary_sent_bytes_total", "Bytes sent on the present connections of a "+
		"secondary.", "name")
	mSecSeed = replication.gauge("secondary_seed_left_bytes", "What a secondary that takes the data file as it is "+
		"still lacks of it.", "name")

	mUpstream = replication.gauge("upstream_state", "1 for the state of this secondary.", "state")
	mUpProto  = replication.gauge("upstream_protocol", "1 for the protocol in which the primary was last followed.",
		"protocol")
	mUpSecs = replication.gauge("upstream_lag_seconds", "Lag of this secondary behind its primary.")
	mUpByte = replication.gauge("upstream_lag_bytes", "Likewise.")
	mUpTxns = replication.gauge("upstream_lag_transactions", "Likewise.")
	mUpSeed = replication.gauge("upstream_seed_left_bytes", "What this secondary, which takes its primary's data file "+
		"as it is, still lacks of it.")
)

var (
	failover = group{title: "Failover"}

	mRole     = failover.gauge("role", "1 for the role of the node.", "role")
	mEpoch    = failover.gauge("epoch", "The last epoch that is known to have begun.")
	mFenced   = failover.gauge("fenced", "1 when another node has become primary in this one's place.")
	mFrozen   = failover.gauge("frozen", "1 while the primary is frozen.")
	mConflict = failover.gauge("conflict", "1 while it is not clear which node may be primary.", "kind")

	mLease = failover.gauge("coordinator_lease_remaining_seconds", "For how long this node may acknowledge commits; 0 "+
		"on nodes that are not primary.")
	mMaintenance = failover.gauge("coordinator_maintenance", "1 while no node is promoted or demoted automatically.")

	mDegraded = failover.gauge("sync_degraded", "1 while commits do not wait for secondaries although they should.")
	mDegrades = failover.counter("sync_degraded_total", "How often commits stopped waiting for secondaries.")
	mWaiting  = failover.gauge("sync_waiting", "1 while transactions wait for secondaries.")
	mSyncWait = failover.histogram("sync_wait_seconds", "Time that a commit waits for secondaries.")
)

// MetricNames returns the names of all metrics of our own that have one storage, as Prometheus has them.
func MetricNames() (names []string) {
	for _, g := range groups {
		for _, m := range g.metrics {
			names = append(names, m.name)
			if m.kind == "histogram" {
				names = append(names, m.name+"_bucket", m.name+"_sum", m.name+"_count")
			}
		}
	}
	return names
}

// MetricsPage returns the tables of docs/metrics.md.
func MetricsPage() string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n", g.title)
		for _, m := range g.metrics {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "), m.help)
		}
	}
	return b.String()
}
