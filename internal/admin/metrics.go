package admin

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A collector turns a Status into samples at each scrape.
type collector struct {
	src   Source
	names names
}

func newCollector(src Source) *collector { return &collector{src: src} }

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range groups {
		for _, m := range g.metrics {
			ch <- m.desc
		}
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.src.Status()
	s := samples{ch, &c.names}
	s.gauge(mBuild, 1, st.Version, runtime.Version(), st.Role)
	s.gauge(mStart, unix(st.Started))
	s.gauge(mReady, oneIf(st.Ready))
	s.gauge(mLive, oneIf(st.NotLive == nil))
	s.troubles(&st)
	s.roles(&st)
	if st.ZEO != nil {
		s.zeo(st.ZEO)
	}
	s.storage(&st.Storage)
	if st.Verify != nil {
		s.verify(st.Verify)
	}
	if st.Archive != nil {
		s.archive(st.Archive)
	}
	if st.Packs != nil {
		s.packs(st.Packs)
	}
	if st.Heal != nil {
		s.gauge(mDamaged, float64(st.Heal.Pending))
		s.counter(mDamagedLoads, st.Heal.Answered, "answered")
		s.counter(mDamagedLoads, st.Heal.Unanswered, "failed")
	}
	s.totals(st.Role, &st.Totals)
	s.secondaries(slices.Concat(st.Secondaries, st.Disconnected))
	if st.Upstream != nil {
		s.upstream(st.Upstream)
	}
	if st.ApplyDelay != nil {
		s.delay(st.ApplyDelay)
	}
}

// samples are those of one scrape.
type samples struct {
	ch    chan<- prometheus.Metric
	names *names
}

// roles has what changes of the primary are about.
func (s samples) roles(st *Status) {
	s.gauge(mRole, 1, st.Role)
	if st.Epoch != nil {
		s.gauge(mEpoch, float64(st.Epoch.Number))
	}
	s.gauge(mFenced, oneIf(st.Fenced))
	if st.Conflict != nil {
		s.gauge(mConflict, 1, st.Conflict.Kind)
	}
	s.gauge(mFrozen, oneIf(st.Frozen))
	if st.Coordinator != nil {
		s.gauge(mLease, st.Coordinator.LeaseRemaining)
		s.gauge(mMaintenance, oneIf(st.Coordinator.Maintenance))
	}
	if st.Sync != nil {
		s.gauge(mDegraded, oneIf(st.Sync.Degraded))
		s.counter(mDegrades, st.Sync.Degradations)
		s.gauge(mWaiting, float64(st.Sync.Waiting))
		s.durations(mSyncWait, st.Sync.Waits)
	}
}

// troubles has how long the longest stall lasts, 0 for none.
func (s samples) troubles(st *Status) {
	stall := 0.0
	for _, t := range st.Troubles {
		if t.Stall {
			stall = max(stall, st.Now.Sub(t.Since).Seconds())
		}
	}
	s.gauge(mStall, stall)
	s.gauge(mTroubles, float64(len(st.Troubles)))
	active := map[warning.Code]int{}
	for _, w := range st.Warnings {
		active[w.Code]++
	}
	for i := range warning.Table {
		if k := &warning.Table[i]; !k.Doctor && !k.Event {
			s.gauge(mWarnings, float64(active[k.Code]), string(k.Code), string(k.Severity))
		}
	}
}

func (s samples) gauge(m *metric, v float64, labels ...string) {
	s.send(m, prometheus.GaugeValue, v, labels)
}

func (s samples) counter(m *metric, v int64, labels ...string) {
	s.send(m, prometheus.CounterValue, float64(v), labels)
}

func (s samples) send(m *metric, kind prometheus.ValueType, v float64, labels []string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?") // texts come from peers
	}
	s.ch <- prometheus.MustNewConstMetric(m.desc, kind, v, labels...)
}

// durations has a histogram, nil where it is not known.
func (s samples) durations(m *metric, d *Durations) {
	if d != nil {
		s.ch <- prometheus.MustNewConstHistogram(m.desc, d.Times.Count(), d.Times.Sum().Seconds(), d.Times.Cumulative())
	}
}

func (s samples) zeo(z *ZEO) {
	s.gauge(mZEOClients, float64(z.Clients))
	s.counter(mLoads, z.Loads)
	s.counter(mStores, z.Stores)
	s.counter(mCommits, z.Commits)
	s.counter(mAborts, z.Aborts)
	s.counter(mConflicts, z.Conflicts)
	s.counter(mResolved, z.Resolved)
	s.counter(mInvalidates, z.Invalidations)
	s.gauge(mVoting, float64(z.Voting))
	s.durations(mCommit, z.Commit)
	s.counter(mUploads, z.Uploads)
	s.counter(mDownloads, z.Downloads)
	s.counter(mReceived, z.Received)
	s.counter(mSent, z.Sent)
	s.gauge(mQueued, float64(z.Queued))
}

func (s samples) storage(st *Storage) {
	s.blobPlaces(st)
	if st.LastTid != nil {
		s.gauge(mLastTid, tidUnix(*st.LastTid))
	}
	s.gauge(mSize, float64(st.Size))
	if st.Objects != nil {
		s.gauge(mObjects, float64(*st.Objects))
	}
	if c := st.Chain; c != nil && c.Count != nil {
		s.gauge(mTxnCount, float64(*c.Count))
	}
	s.durations(mSync, st.Sync)
	s.durations(mLock, st.Lock)
	for _, d := range st.Disks {
		if d.Error == nil {
			s.gauge(mDiskFree, float64(d.Free), d.Folder)
			s.gauge(mDiskSize, float64(d.Size), d.Folder)
		}
	}
	if p := st.LastPack; p != nil {
		s.gauge(mPackLast, unix(p.Ended))
		s.gauge(mPackSeconds, p.Duration)
		s.gauge(mPackFreed, float64(p.Before-p.After))
	}
	s.gauge(mPackRunning, oneIf(st.Packing))
}

func (s samples) packs(p *packplan.State) {
	if p.Next != nil {
		s.gauge(mPackNext, unix(*p.Next))
	}
	if p.Ended != nil {
		s.gauge(mPackDone, unix(*p.Ended))
	}
	s.gauge(mPackLate, oneIf(p.Waits != nil || p.Failed != nil || p.LeftOut != nil))
}

// verify has what verifications have found. A pass that did not come to its end counts with what it found.
func (s samples) verify(v *verify.Status) {
	s.gauge(mVerifyRunning, oneIf(v.Running != nil))
	if r := v.Running; r != nil && r.Total > 0 {
		s.gauge(mVerifyProgress, float64(r.Done)/float64(r.Total))
	}
	last := v.Last
	if last != nil {
		s.gauge(mVerifyLast, unix(last.Ended))
		s.gauge(mVerifySeconds, last.Seconds)
		s.blobs(last)
	}
	if v.Failed != nil {
		last = v.Failed
	}
	if last != nil {
		s.gauge(mVerifyFindings, float64(last.Damages), "damage")
		s.gauge(mVerifyFindings, float64(last.Warnings), "warning")
	}
	t := &v.Totals
	s.counter(mVerifyPasses, t.Passes)
	for result, n := range map[string]int64{
		"attempted": t.Attempted, "success": t.Success, "failure": t.Failure, "no_change": t.NoChange,
		"hashmatch": t.HashMatch, "diff": t.Diff, "empty": t.Empty, "removed": t.Removed,
		"healed": t.Healed, "quarantined": t.Kept,
	} {
		s.counter(mVerifyResults, n, result)
	}
	s.counter(mVerifyBytes, t.Bytes)
}

// blobs has how many there were at the last pass. One of before sizes were counted has none.
func (s samples) blobs(last *verify.Pass) {
	if last.BlobsSkipped != nil {
		return
	}
	s.gauge(mBlobs, float64(last.Blobs))
	if last.BlobSize > 0 || last.Blobs == 0 {
		s.gauge(mBlobSize, float64(last.BlobSize))
	}
}

// archive has how far the archive is.
func (s samples) archive(a *Archive) {
	s.gauge(mArchiveState, 1, a.State)
	s.gauge(mArchiveComplete, oneIf(a.Complete))
	s.gauge(mArchiveLagBytes, float64(a.LagBytes))
	s.gauge(mArchiveLagSecs, a.LagSeconds)
	if a.LagTransactions != nil {
		s.gauge(mArchiveLagTxns, float64(*a.LagTransactions))
	}
	if a.Generation != nil {
		s.gauge(mArchiveGen, float64(*a.Generation))
	}
	if a.LastTid != nil {
		s.gauge(mArchiveTid, unix(a.LastTid.Time()))
	}
	if a.Verified != nil {
		s.gauge(mArchiveVerified, unix(*a.Verified))
	}
	if a.Made != nil {
		s.gauge(mArchiveDamaged, oneIf(a.VerifyProblem != nil))
	}
	s.counter(mArchiveSegments, int64(a.Segments))
	if a.Archived != nil {
		s.gauge(mArchiveLast, unix(*a.Archived))
	}
	s.counter(mArchiveBytes, a.Bytes, "segments")
	s.counter(mArchiveBytes, a.BlobBytes, "blobs")
	s.counter(mArchiveFailures, int64(a.Failures))
}

func (s samples) totals(role string, t *Totals) {
	s.counter(mTxns, t.Sent.Transactions, role, "sent")
	s.counter(mBytes, t.Sent.Bytes, role, "sent")
	s.counter(mTxns, t.Applied.Transactions, role, "applied")
	s.counter(mBytes, t.Applied.Bytes, role, "applied")
	s.counter(mReconnects, t.Reconnects)
	s.counter(mDigestErrors, t.DigestErrors)
	for result, n := range map[string]int64{
		"attempted": t.CatchUps.Attempted, "no_change": t.CatchUps.NoChange, "diff": t.CatchUps.Diff,
		"seed": t.CatchUps.Seed, "diff_capped": t.CatchUps.DiffCapped,
	} {
		s.counter(mCatchUps, n, result)
	}
	refusals := map[string]int64{}
	for code, n := range t.Refusals {
		if strings.HasPrefix(code, "code_") { // a peer may make up as many as it likes
			code = otherLabel
		}
		refusals[code] += n
	}
	for code, n := range refusals {
		s.counter(mRefusals, n, code)
	}
}

func (s samples) upstream(u *Upstream) {
	s.gauge(mUpstream, 1, u.State)
	if u.Protocol != nil {
		s.gauge(mUpProto, 1, *u.Protocol)
	}
	s.lag(&u.Lag, mUpSecs, mUpByte, mUpTxns)
	if u.Seed != nil {
		s.gauge(mUpSeed, float64(u.Seed.Total-u.Seed.Done))
	}
}

func (s samples) lag(l *Lag, secs, bytes, txns *metric, labels ...string) {
	if l.Seconds != nil {
		s.gauge(secs, *l.Seconds, labels...)
	}
	if l.Bytes != nil {
		s.gauge(bytes, float64(*l.Bytes), labels...)
	}
	if l.Transactions != nil {
		s.gauge(txns, float64(*l.Transactions), labels...)
	}
}

// secondaries counts connections by state. Several connections may have one name; the one furthest behind counts.
func (s samples) secondaries(list []Secondary) {
	states, protocols := map[string]int{}, map[string]int{}
	named := map[string]*peer{}
	for i := range list {
		sec := &list[i]
		states[sec.State]++
		if sec.Protocol != nil {
			protocols[*sec.Protocol]++
		}
		name := s.names.label(sec.Name)
		p := named[name]
		if p == nil {
			p = new(peer)
			named[name] = p
		}
		p.add(sec)
	}
	for state, n := range states {
		s.gauge(mSecondaries, float64(n), state)
	}
	for protocol, n := range protocols {
		s.gauge(mProtocols, float64(n), protocol)
	}
	for name, p := range named {
		s.peer(name, p)
	}
}

// A peer is what is known of all connections of one name.
type peer struct {
	lag              Lag
	seed             *int64
	applied, durable *float64 // the earliest
	total            Traffic
}

func (p *peer) add(s *Secondary) {
	p.lag = worse(p.lag, s.Lag)
	if s.Seed != nil {
		p.seed = larger(p.seed, Known(s.Seed.Total-s.Seed.Done))
	}
	p.applied, p.durable = earlier(p.applied, s.Applied), earlier(p.durable, s.Durable)
	p.total.Transactions += s.Total.Transactions
	p.total.Bytes += s.Total.Bytes
}

func earlier(at *float64, tid *zodb.Tid) *float64 {
	if tid == nil || at != nil && *at <= tidUnix(*tid) {
		return at
	}
	return Known(tidUnix(*tid))
}

func (s samples) peer(name string, p *peer) {
	s.lag(&p.lag, mSecSeconds, mSecBytes, mSecTxns, name)
	if p.seed != nil {
		s.gauge(mSecSeed, float64(*p.seed), name)
	}
	if p.applied != nil {
		s.gauge(mSecApplied, *p.applied, name)
	}
	if p.durable != nil {
		s.gauge(mSecDurable, *p.durable, name)
	}
	s.counter(mSecSentTxns, p.total.Transactions, name)
	s.counter(mSecSentBytes, p.total.Bytes, name)
}

func worse(a, b Lag) Lag {
	return Lag{larger(a.Transactions, b.Transactions), larger(a.Bytes, b.Bytes), larger(a.Seconds, b.Seconds)}
}

func larger[T int64 | float64](a, b *T) *T {
	if a == nil || (b != nil && *b > *a) {
		return b
	}
	return a
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func tidUnix(t zodb.Tid) float64 { return t.TimeStamp().Unix() }

// blobPlaces are those of a blob cache and an object store, where there are any.
func (s samples) blobPlaces(st *Storage) {
	if c := st.BlobCache; c != nil {
		s.gauge(mCacheBytes, float64(c.Bytes))
		s.gauge(mCacheTarget, float64(c.Target))
		s.counter(mCacheHits, c.Hits)
		s.counter(mCacheMisses, c.Misses)
		s.counter(mCacheFailed, c.Failed)
		s.counter(mCacheFetched, c.Fetched)
		s.counter(mCacheEvicted, c.Evicted)
	}
	if b := st.BlobStore; b != nil {
		s.gauge(mStoreWaiting, float64(b.Waiting))
		s.gauge(mStoreFails, oneIf(b.LastError != nil))
		s.counter(mStoreUploads, b.Uploaded)
		s.counter(mStoreUploaded, b.Bytes)
		s.cleaning(b.Cleaning)
	}
}

func (s samples) cleaning(c *BlobCleaning) {
	if c == nil {
		return
	}
	s.gauge(mStoreUnneeded, float64(c.Unneeded))
	s.gauge(mStoreUnneededBytes, float64(c.UnneededBytes))
	s.counter(mStoreRemoved, c.Removed)
	s.counter(mStoreRemovedBytes, c.RemovedBytes)
	s.gauge(mStoreCleanFails, oneIf(c.LastError != nil))
}
