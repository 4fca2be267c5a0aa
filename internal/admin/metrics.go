package admin

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zrsd_"+name, help, labels, nil)
}

// Every metric of our own, in the order of docs/operations.md. A value that is not known has no sample.
var (
	descBuild = desc("build_info", "Always 1; version and role are in the labels.", "version", "goversion", "role")
	descStart = desc("start_time_seconds", "When the node was started, Unix time.")
	descReady = desc("ready", "1 when /readyz answers 200.")

	descStall    = desc("stall_seconds", "Seconds without progress of commits or of replication from the primary.")
	descTroubles = desc("troubles", "Problems that need an operator, stalls included.")

	descWarning = desc("warnings", "Warnings that hold now, by code: docs/runbook.md.", "code", "severity")

	descRole           = desc("role", "1 for the current role of the node.", "role")
	descEpoch          = desc("epoch", "The last epoch that is known to have begun.")
	descFenced         = desc("fenced", "1 when another node has become primary in this one's place.")
	descConflict       = desc("conflict", "1 while there is a conflict about which node is primary, by kind.", "kind")
	descFrozen         = desc("frozen", "1 while the primary is frozen.")
	descLeaseRemaining = desc("coordinator_lease_remaining_seconds", "Seconds for which this node may still "+
		"acknowledge commits.")
	descMaintenance = desc("coordinator_maintenance", "1 during maintenance: no node is promoted or demoted "+
		"automatically.")

	descDegraded = desc("sync_degraded", "1 while commits do not wait for secondaries because of --sync-on-timeout "+
		"degrade.")
	descDegrades = desc("sync_degraded_total", "How often commits stopped waiting for secondaries.")
	descWaiting  = desc("sync_waiting", "1 while transactions wait for secondaries.")

	descLastTid = desc("last_tid_timestamp_seconds", "Time in the tid of the last transaction, Unix time.")
	descSize    = desc("storage_size_bytes", "End of the committed part of the data file.")
	descObjects = desc("objects", "Objects in the index, deleted ones included.")

	descVerifyRunning  = desc("verify_running", "1 while a verification runs.")
	descVerifyProgress = desc("verify_progress_ratio", "How much of the data file the verification under way has read.")
	descVerifyLast     = desc("verify_last_pass_timestamp_seconds", "When the last verification came to its end, Unix "+
		"time.")
	descVerifySeconds  = desc("verify_last_pass_seconds", "How long the last verification took.")
	descVerifyFindings = desc("verify_findings", "Findings of the last verification.", "severity")
	descVerifyPasses   = desc("verify_passes_total", "Verifications that came to their end.")
	descVerifyResults  = desc("verify_results_total", "Outcomes of verifications, by the words of commands-json.md.",
		"result")
	descDamaged      = desc("damaged_parts", "Parts of the copy that are known to be damaged and are not healed.")
	descDamagedLoads = desc("damaged_loads_total", "Calls of clients that met damage, by whether another node had "+
		"what was to be there.", "result")
	descVerifyBytes = desc("verify_bytes_total", "Bytes of data files and blobs that verifications have read.")

	descTxns     = desc("transactions_total", "Transactions streamed.", "role", "direction")
	descBytes    = desc("bytes_total", "Bytes of the transactions streamed.", "role", "direction")
	descCatchUps = desc("catch_ups_total", "What secondaries lacked when they connected, by the words of "+
		"operations.md.", "result")
	descReconnects = desc("reconnects_total", "Reconnects to the primary.")
	descRefusals   = desc("refusals_total", "Handshakes refused, by reason.", "code")

	descSecondaries = desc("secondaries", "Secondaries, disconnected ones included.", "state")
	descProtocols   = desc("secondaries_by_protocol", "Secondaries, disconnected ones included.", "protocol")
	descSecSeconds  = desc("secondary_lag_seconds", "Lag of a secondary, connected or disconnected.", "name")
	descSecBytes    = desc("secondary_lag_bytes", "Lag of a secondary, connected or disconnected.", "name")
	descSecTxns     = desc("secondary_lag_transactions", "Lag of a secondary, connected or disconnected.", "name")

	descSecSeed = desc("secondary_seed_left_bytes", "What a secondary that takes the data file as it is still lacks "+
		"of it.", "name")
	descUpSeed = desc("upstream_seed_left_bytes", "What this secondary, which takes its primary's data file as it is, "+
		"still lacks of it.")

	descUpstream = desc("upstream_state", "1 for the current state of this secondary.", "state")
	descUpProto  = desc("upstream_protocol", "1 for the protocol last used to follow the primary.", "protocol")
	descUpSecs   = desc("upstream_lag_seconds", "Lag of this secondary behind its primary.")
	descUpBytes  = desc("upstream_lag_bytes", "Lag of this secondary behind its primary.")
	descUpTxns   = desc("upstream_lag_transactions", "Lag of this secondary behind its primary.")
)

// A collector turns a Status into samples at each scrape.
type collector struct{ src Source }

func newCollector(src Source) collector { return collector{src} }

// Describe is part of prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descBuild, descStart, descReady, descStall, descTroubles, descWarning, descRole, descEpoch, descFenced,
		descConflict, descFrozen,
		descLeaseRemaining, descMaintenance, descDegraded, descDegrades, descWaiting,
		descLastTid, descSize, descObjects, descTxns, descBytes,
		descVerifyRunning, descVerifyProgress, descVerifyLast, descVerifySeconds, descVerifyFindings,
		descVerifyPasses, descVerifyResults, descVerifyBytes, descDamaged, descDamagedLoads,
		descReconnects, descCatchUps, descRefusals,
		descSecondaries, descProtocols, descSecSeconds, descSecBytes, descSecTxns,
		descUpstream, descUpProto, descUpSecs, descUpBytes, descUpTxns, descSecSeed, descUpSeed,
	} {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	st := c.src.Status()
	s := samples{ch}
	s.gauge(descBuild, 1, st.Version, runtime.Version(), st.Role)
	s.gauge(descStart, unix(st.Started))
	s.gauge(descReady, oneIf(st.Ready))
	s.troubles(&st)
	s.roles(&st)
	s.storage(&st.Storage)
	if st.Verify != nil {
		s.verify(st.Verify)
	}
	if st.Heal != nil {
		s.gauge(descDamaged, float64(st.Heal.Pending))
		s.counter(descDamagedLoads, st.Heal.Answered, "answered")
		s.counter(descDamagedLoads, st.Heal.Unanswered, "failed")
	}
	s.totals(st.Role, &st.Totals)
	s.secondaries(slices.Concat(st.Secondaries, st.Disconnected))
	if st.Upstream != nil {
		s.upstream(st.Upstream)
	}
}

type samples struct{ ch chan<- prometheus.Metric }

// roles has what changes of the primary are about.
func (s samples) roles(st *Status) {
	s.gauge(descRole, 1, st.Role)
	if st.Epoch != nil {
		s.gauge(descEpoch, float64(st.Epoch.Number))
	}
	s.gauge(descFenced, oneIf(st.Fenced))
	if st.Conflict != nil {
		s.gauge(descConflict, 1, st.Conflict.Kind)
	}
	s.gauge(descFrozen, oneIf(st.Frozen))
	if st.Coordinator != nil {
		s.gauge(descLeaseRemaining, st.Coordinator.LeaseRemaining)
		s.gauge(descMaintenance, oneIf(st.Coordinator.Maintenance))
	}
	if st.Sync != nil {
		s.gauge(descDegraded, oneIf(st.Sync.Degraded))
		s.counter(descDegrades, st.Sync.Degradations)
		s.gauge(descWaiting, float64(st.Sync.Waiting))
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
	s.gauge(descStall, stall)
	s.gauge(descTroubles, float64(len(st.Troubles)))
	active := map[warning.Code]int{}
	for _, w := range st.Warnings {
		active[w.Code]++
	}
	for i := range warning.Table {
		if k := &warning.Table[i]; !k.Doctor {
			s.gauge(descWarning, float64(active[k.Code]), string(k.Code), string(k.Severity))
		}
	}
}

func (s samples) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.send(d, prometheus.GaugeValue, v, labels)
}

func (s samples) counter(d *prometheus.Desc, v int64, labels ...string) {
	s.send(d, prometheus.CounterValue, float64(v), labels)
}

func (s samples) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels []string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?") // names come from peers
	}
	s.ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

func (s samples) storage(st *Storage) {
	if st.LastTid != nil {
		s.gauge(descLastTid, tidUnix(*st.LastTid))
	}
	s.gauge(descSize, float64(st.Size))
	if st.Objects != nil {
		s.gauge(descObjects, float64(*st.Objects))
	}
}

// verify has what verifications have found. A pass that did not come to its end counts with what it found.
func (s samples) verify(v *verify.Status) {
	s.gauge(descVerifyRunning, oneIf(v.Running != nil))
	if r := v.Running; r != nil && r.Total > 0 {
		s.gauge(descVerifyProgress, float64(r.Done)/float64(r.Total))
	}
	last := v.Last
	if last != nil {
		s.gauge(descVerifyLast, unix(last.Ended))
		s.gauge(descVerifySeconds, last.Seconds)
	}
	if v.Failed != nil {
		last = v.Failed
	}
	if last != nil {
		s.gauge(descVerifyFindings, float64(last.Damages), "damage")
		s.gauge(descVerifyFindings, float64(last.Warnings), "warning")
	}
	t := &v.Totals
	s.counter(descVerifyPasses, t.Passes)
	for result, n := range map[string]int64{
		"attempted": t.Attempted, "success": t.Success, "failure": t.Failure, "no_change": t.NoChange,
		"hashmatch": t.HashMatch, "diff": t.Diff, "empty": t.Empty, "removed": t.Removed,
		"healed": t.Healed, "quarantined": t.Kept,
	} {
		s.counter(descVerifyResults, n, result)
	}
	s.counter(descVerifyBytes, t.Bytes)
}

func (s samples) totals(role string, t *Totals) {
	s.counter(descTxns, t.Sent.Transactions, role, "sent")
	s.counter(descBytes, t.Sent.Bytes, role, "sent")
	s.counter(descTxns, t.Applied.Transactions, role, "applied")
	s.counter(descBytes, t.Applied.Bytes, role, "applied")
	s.counter(descReconnects, t.Reconnects)
	for result, n := range map[string]int64{
		"attempted": t.CatchUps.Attempted, "no_change": t.CatchUps.NoChange, "diff": t.CatchUps.Diff,
		"seed": t.CatchUps.Seed, "diff_capped": t.CatchUps.DiffCapped,
	} {
		s.counter(descCatchUps, n, result)
	}
	for code, n := range t.Refusals {
		s.counter(descRefusals, n, code)
	}
}

func (s samples) upstream(u *Upstream) {
	s.gauge(descUpstream, 1, u.State)
	if u.Protocol != nil {
		s.gauge(descUpProto, 1, *u.Protocol)
	}
	s.lag(&u.Lag, descUpSecs, descUpBytes, descUpTxns)
	if u.Seed != nil {
		s.gauge(descUpSeed, float64(u.Seed.Total-u.Seed.Done))
	}
}

func (s samples) lag(l *Lag, secs, bytes, txns *prometheus.Desc, labels ...string) {
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
	worst, seeds := map[string]Lag{}, map[string]int64{}
	for _, sec := range list {
		states[sec.State]++
		if sec.Protocol != nil {
			protocols[*sec.Protocol]++
		}
		name := strings.ToValidUTF8(sec.Name, "?")
		worst[name] = worse(worst[name], sec.Lag)
		if sec.Seed != nil {
			seeds[name] = max(seeds[name], sec.Seed.Total-sec.Seed.Done)
		}
	}
	for name, left := range seeds {
		s.gauge(descSecSeed, float64(left), name)
	}
	for state, n := range states {
		s.gauge(descSecondaries, float64(n), state)
	}
	for protocol, n := range protocols {
		s.gauge(descProtocols, float64(n), protocol)
	}
	for name, lag := range worst {
		s.lag(&lag, descSecSeconds, descSecBytes, descSecTxns, name)
	}
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
