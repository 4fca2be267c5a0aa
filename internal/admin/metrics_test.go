package admin_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
)

const (
	sec3 = `{name="db3:/srv/Data.fs"}`
	sec4 = `{name="db4:/srv/Data.fs"}`
)

func TestEachMetricMovesWithTheStatus(t *testing.T) {
	moved := map[string]bool{}
	zeo := func(change func(*admin.ZEO)) func(*admin.Status) {
		return func(st *admin.Status) { change(st.ZEO) }
	}
	long := admin.DurationsOf(times(time.Minute))
	pass := func(change func(*verify.Pass)) func(*admin.Status) {
		return func(st *admin.Status) { st.Verify.Failed = nil; change(st.Verify.Last) }
	}
	later := tid(t, "03f8658006666666")
	for _, c := range []struct {
		sample        string
		before, after float64
		change        func(*admin.Status)
	}{
		{`zrsd_ready`, 0, 1, func(st *admin.Status) { st.Ready = true }},
		{`zrsd_start_time_seconds`, 1772600767, 1772600768,
			func(st *admin.Status) { st.Started = st.Started.Add(time.Second) }},
		{`zrsd_last_tid_timestamp_seconds`, 1714982401.25, 1714982401.5,
			func(st *admin.Status) { *st.Storage.LastTid += 0x1111111 }},
		{`zrsd_storage_size_bytes`, 4096, 8192, func(st *admin.Status) { st.Storage.Size = 8192 }},
		{`zrsd_troubles`, 2, 0, func(st *admin.Status) { st.Troubles = nil }},
		{`zrsd_stall_seconds`, full(t).Now.Sub(full(t).Troubles[0].Since).Seconds(), 0,
			func(st *admin.Status) { st.Troubles = st.Troubles[1:] }},
		{`zrsd_storage_objects`, 17, 18, func(st *admin.Status) { *st.Storage.Objects = 18 }},
		{`zrsd_transactions_total{direction="sent",role="secondary"}`, 10, 11,
			func(st *admin.Status) { st.Totals.Sent.Transactions = 11 }},
		{`zrsd_transactions_total{direction="applied",role="secondary"}`, 20, 21,
			func(st *admin.Status) { st.Totals.Applied.Transactions = 21 }},
		{`zrsd_bytes_total{direction="sent",role="secondary"}`, 1000, 1001,
			func(st *admin.Status) { st.Totals.Sent.Bytes = 1001 }},
		{`zrsd_bytes_total{direction="applied",role="secondary"}`, 2000, 2001,
			func(st *admin.Status) { st.Totals.Applied.Bytes = 2001 }},
		{`zrsd_reconnects_total`, 2, 3, func(st *admin.Status) { st.Totals.Reconnects = 3 }},
		{`zrsd_digest_errors_total`, 1, 2, func(st *admin.Status) { st.Totals.DigestErrors = 2 }},
		{`zrsd_refusals_total{code="wrong_storage"}`, 1, 5,
			func(st *admin.Status) { st.Totals.Refusals["wrong_storage"] = 5 }},
		{`zrsd_secondaries{state="live"}`, 1, 2,
			func(st *admin.Status) { st.Secondaries = append(st.Secondaries, st.Secondaries[0]) }},
		{`zrsd_secondaries{state="disconnected"}`, 1, 0, func(st *admin.Status) { st.Disconnected = nil }},
		{`zrsd_secondary_lag_seconds{name="db4:/srv/Data.fs"}`, 7.5, 8,
			func(st *admin.Status) { *st.Disconnected[0].Lag.Seconds = 8 }},
		{`zrsd_secondary_lag_seconds{name="db3:/srv/Data.fs"}`, 0.5, 1,
			func(st *admin.Status) { *st.Secondaries[0].Lag.Seconds = 1 }},
		{`zrsd_secondary_lag_bytes{name="db3:/srv/Data.fs"}`, 200, 1,
			func(st *admin.Status) { *st.Secondaries[0].Lag.Bytes = 1 }},
		{`zrsd_secondary_lag_transactions{name="db3:/srv/Data.fs"}`, 1, 0,
			func(st *admin.Status) { *st.Secondaries[0].Lag.Transactions = 0 }},
		{`zrsd_upstream_lag_seconds`, 12.5, 1, func(st *admin.Status) { *st.Upstream.Lag.Seconds = 1 }},
		{`zrsd_upstream_lag_bytes`, 900, 1, func(st *admin.Status) { *st.Upstream.Lag.Bytes = 1 }},
		{`zrsd_upstream_lag_transactions`, 3, 1, func(st *admin.Status) { *st.Upstream.Lag.Transactions = 1 }},
		{`zrsd_apply_delay_seconds`, 14400, 60, func(st *admin.Status) { st.ApplyDelay.Seconds = 60 }},
		{`zrsd_shown_tid_timestamp_seconds`, 1714982401.25, 1714982402.25, func(st *admin.Status) {
			st.ApplyDelay.ShownTime = admin.Known(st.ApplyDelay.ShownTime.Add(time.Second))
		}},
		{`zrsd_apply_until`, 1, 0, func(st *admin.Status) { st.ApplyDelay.Until = nil }},
		{`zrsd_build_info{goversion="` + runtime.Version() + `",role="secondary",version="v1.2.3"}`, 1, 0,
			func(st *admin.Status) { st.Version = "v2" }},
		{`zrsd_live`, 1, 0, func(st *admin.Status) { st.NotLive = admin.Known("it hangs") }},
		{`zrsd_warnings{code="stalled",severity="critical"}`, 1, 2,
			func(st *admin.Status) { st.Warnings = append(st.Warnings, st.Warnings[0]) }},
		{`zrsd_warnings{code="disk_low",severity="warning"}`, 0, 1,
			func(st *admin.Status) { st.Warnings = []warning.Warning{{Code: warning.DiskLow}} }},
		{`zrsd_zeo_clients`, 2, 3, zeo(func(z *admin.ZEO) { z.Clients++ })},
		{`zrsd_zeo_loads_total`, 30, 31, zeo(func(z *admin.ZEO) { z.Loads++ })},
		{`zrsd_zeo_stores_total`, 20, 21, zeo(func(z *admin.ZEO) { z.Stores++ })},
		{`zrsd_zeo_commits_total`, 10, 11, zeo(func(z *admin.ZEO) { z.Commits++ })},
		{`zrsd_zeo_aborts_total`, 1, 2, zeo(func(z *admin.ZEO) { z.Aborts++ })},
		{`zrsd_zeo_conflicts_total`, 3, 4, zeo(func(z *admin.ZEO) { z.Conflicts++ })},
		{`zrsd_zeo_conflicts_resolved_total`, 4, 5, zeo(func(z *admin.ZEO) { z.Resolved++ })},
		{`zrsd_zeo_invalidations_total`, 8, 9, zeo(func(z *admin.ZEO) { z.Invalidations++ })},
		{`zrsd_zeo_transactions_voting`, 1, 2, zeo(func(z *admin.ZEO) { z.Voting++ })},
		{`zrsd_zeo_commit_seconds_sum`, 0.007, 60, zeo(func(z *admin.ZEO) { z.Commit = long })},
		{`zrsd_zeo_commit_seconds_count`, 1, 0, zeo(func(z *admin.ZEO) { z.Commit = nil })},
		{`zrsd_zeo_commit_seconds_bucket{le="0.008192"}`, 1, 0, zeo(func(z *admin.ZEO) { z.Commit = long })},
		{`zrsd_zeo_blob_uploads_total`, 5, 6, zeo(func(z *admin.ZEO) { z.Uploads++ })},
		{`zrsd_zeo_blob_downloads_total`, 6, 7, zeo(func(z *admin.ZEO) { z.Downloads++ })},
		{`zrsd_zeo_received_bytes_total`, 1 << 20, 1, zeo(func(z *admin.ZEO) { z.Received = 1 })},
		{`zrsd_zeo_sent_bytes_total`, 2 << 20, 1, zeo(func(z *admin.ZEO) { z.Sent = 1 })},
		{`zrsd_zeo_queue_bytes`, 100, 1, zeo(func(z *admin.ZEO) { z.Queued = 1 })},
		{`zrsd_damaged_loads_total{result="answered"}`, 3, 77, func(st *admin.Status) { st.Heal.Answered = 77 }},
		{`zrsd_damaged_parts`, 1, 2, func(st *admin.Status) { st.Heal.Pending = 2 }},
		{`zrsd_storage_transactions`, 0, 5, func(st *admin.Status) {
			st.Storage.Chain = &admin.Chain{Count: admin.Known[uint64](5)}
		}},
		{`zrsd_storage_sync_seconds_sum`, 0.003, 60, func(st *admin.Status) { st.Storage.Sync = long }},
		{`zrsd_storage_commit_lock_wait_seconds_sum`, 0.001, 60, func(st *admin.Status) { st.Storage.Lock = long }},
		{`zrsd_disk_free_bytes{folder="/srv"}`, 1 << 30, 1, func(st *admin.Status) { st.Storage.Disks[0].Free = 1 }},
		{`zrsd_disk_size_bytes{folder="/srv"}`, 1 << 40, 1, func(st *admin.Status) { st.Storage.Disks[0].Size = 1 }},
		{`zrsd_blob_files`, 2, 9, pass(func(p *verify.Pass) { p.Blobs = 9 })},
		{`zrsd_blob_size_bytes`, 3 << 20, 1, pass(func(p *verify.Pass) { p.BlobSize = 1 })},
		{`zrsd_blob_cache_bytes`, 3000, 1, func(st *admin.Status) { st.Storage.BlobCache.Bytes = 1 }},
		{`zrsd_blob_cache_target_bytes`, 4000, 1, func(st *admin.Status) { st.Storage.BlobCache.Target = 1 }},
		{`zrsd_blob_cache_hits_total`, 70, 71, func(st *admin.Status) { st.Storage.BlobCache.Hits++ }},
		{`zrsd_blob_cache_fetches_total`, 9, 10, func(st *admin.Status) { st.Storage.BlobCache.Misses++ }},
		{`zrsd_blob_cache_fetch_failures_total`, 1, 2, func(st *admin.Status) { st.Storage.BlobCache.Failed++ }},
		{`zrsd_blob_cache_fetched_bytes_total`, 8000, 1, func(st *admin.Status) { st.Storage.BlobCache.Fetched = 1 }},
		{`zrsd_blob_cache_evicted_total`, 5, 6, func(st *admin.Status) { st.Storage.BlobCache.Evicted++ }},
		{`zrsd_blob_store_waiting`, 2, 3, func(st *admin.Status) { st.Storage.BlobStore.Waiting++ }},
		{`zrsd_blob_store_failing`, 1, 0, func(st *admin.Status) { st.Storage.BlobStore.LastError = nil }},
		{`zrsd_blob_store_uploads_total`, 30, 31, func(st *admin.Status) { st.Storage.BlobStore.Uploaded++ }},
		{`zrsd_blob_store_uploaded_bytes_total`, 30000, 1, func(st *admin.Status) { st.Storage.BlobStore.Bytes = 1 }},
		{`zrsd_blob_store_unneeded`, 4, 5, func(st *admin.Status) { st.Storage.BlobStore.Cleaning.Unneeded++ }},
		{`zrsd_blob_store_unneeded_bytes`, 400, 1, func(st *admin.Status) {
			st.Storage.BlobStore.Cleaning.UnneededBytes = 1
		}},
		{`zrsd_blob_store_removed_total`, 6, 7, func(st *admin.Status) { st.Storage.BlobStore.Cleaning.Removed++ }},
		{`zrsd_blob_store_removed_bytes_total`, 600, 1, func(st *admin.Status) {
			st.Storage.BlobStore.Cleaning.RemovedBytes = 1
		}},
		{`zrsd_blob_store_cleaning_failing`, 1, 0, func(st *admin.Status) {
			st.Storage.BlobStore.Cleaning.LastError = nil
		}},
		{`zrsd_pack_last_timestamp_seconds`, 1772600767, 1772600768, func(st *admin.Status) {
			st.Storage.LastPack.Ended = st.Storage.LastPack.Ended.Add(time.Second)
		}},
		{`zrsd_pack_running`, 0, 1, func(st *admin.Status) { st.Storage.Packing = true }},
		{`zrsd_pack_schedule_next_timestamp_seconds`, 1772600767, 1772600768, func(st *admin.Status) {
			st.Packs.Next = admin.Known(st.Packs.Next.Add(time.Second))
		}},
		{`zrsd_pack_schedule_last_timestamp_seconds`, 1772600767, 1772600768, func(st *admin.Status) {
			st.Packs.Ended = admin.Known(st.Packs.Ended.Add(time.Second))
		}},
		{`zrsd_pack_schedule_late`, 0, 1, func(st *admin.Status) { st.Packs.Waits = admin.Known("db2 is out") }},
		{`zrsd_pack_last_duration_seconds`, 2.5, 3, func(st *admin.Status) { st.Storage.LastPack.Duration = 3 }},
		{`zrsd_pack_last_reclaimed_bytes`, 4096, 8192, func(st *admin.Status) { st.Storage.LastPack.After = 0 }},
		{`zrsd_archive_state{state="archiving"}`, 1, 0, func(st *admin.Status) { st.Archive.State = "away" }},
		{`zrsd_archive_complete`, 1, 0, func(st *admin.Status) { st.Archive.Complete = false }},
		{`zrsd_archive_lag_bytes`, 4096, 1, func(st *admin.Status) { st.Archive.LagBytes = 1 }},
		{`zrsd_archive_lag_transactions`, 12, 1, func(st *admin.Status) { *st.Archive.LagTransactions = 1 }},
		{`zrsd_archive_generation`, 3, 4, func(st *admin.Status) { *st.Archive.Generation = 4 }},
		{`zrsd_archive_segments_total`, 17, 18, func(st *admin.Status) { st.Archive.Segments = 18 }},
		{`zrsd_archive_tid_timestamp_seconds`, 1714982401.25, 1714982401.5,
			func(st *admin.Status) { *st.Archive.LastTid += 0x1111111 }},
		{`zrsd_archive_verified_timestamp_seconds`, 1772600767, 0,
			func(st *admin.Status) { st.Archive.Verified = admin.Known(time.Unix(0, 0)) }},
		{`zrsd_archive_damaged`, 0, 1, func(st *admin.Status) { st.Archive.VerifyProblem = admin.Known("a gap") }},
		{`zrsd_archive_lag_seconds`, 2.5, 1, func(st *admin.Status) { st.Archive.LagSeconds = 1 }},
		{`zrsd_archive_last_timestamp_seconds`, 1772600767, 0,
			func(st *admin.Status) { st.Archive.Archived = admin.Known(time.Unix(0, 0)) }},
		{`zrsd_archive_bytes_total{kind="segments"}`, 1 << 20, 1, func(st *admin.Status) { st.Archive.Bytes = 1 }},
		{`zrsd_archive_bytes_total{kind="blobs"}`, 1 << 21, 1, func(st *admin.Status) { st.Archive.BlobBytes = 1 }},
		{`zrsd_archive_failures_total`, 2, 3, func(st *admin.Status) { st.Archive.Failures = 3 }},
		{`zrsd_verify_running`, 1, 0, func(st *admin.Status) { st.Verify.Running = nil }},
		{`zrsd_verify_progress_ratio`, 0.25, 0.5, func(st *admin.Status) { st.Verify.Running.Done = 20 }},
		{`zrsd_verify_last_pass_timestamp_seconds`, 1772600769, 0,
			pass(func(p *verify.Pass) { p.Ended = time.Unix(0, 0) })},
		{`zrsd_verify_last_pass_seconds`, 2, 9, pass(func(p *verify.Pass) { p.Seconds = 9 })},
		{`zrsd_verify_findings{severity="damage"}`, 1, 9, pass(func(p *verify.Pass) { p.Damages = 9 })},
		{`zrsd_verify_passes_total`, 1, 2, func(st *admin.Status) { st.Verify.Totals.Passes = 2 }},
		{`zrsd_verify_results_total{result="diff"}`, 1, 2, func(st *admin.Status) { st.Verify.Totals.Diff = 2 }},
		{`zrsd_verify_bytes_total`, 1 << 20, 1, func(st *admin.Status) { st.Verify.Totals.Bytes = 1 }},
		{`zrsd_catch_ups_total{result="diff"}`, 0, 99, func(st *admin.Status) { st.Totals.CatchUps.Diff = 99 }},
		{`zrsd_secondaries_by_protocol{protocol="zrs2.1"}`, 0, 1, func(st *admin.Status) {
			st.Secondaries[0].Protocol = admin.Known("zrs2.1")
		}},
		{`zrsd_secondary_applied_tid_timestamp_seconds` + sec3, 1714982401.25, 1714982401.5,
			func(st *admin.Status) { st.Secondaries[0].Applied = later }},
		{`zrsd_secondary_durable_tid_timestamp_seconds` + sec4, 1714982401.25, 1714982401.5,
			func(st *admin.Status) { st.Disconnected[0].Durable = later }},
		{`zrsd_secondary_sent_transactions_total` + sec3, 0, 7,
			func(st *admin.Status) { st.Secondaries[0].Total.Transactions = 7 }},
		{`zrsd_secondary_sent_bytes_total` + sec3, 0, 70,
			func(st *admin.Status) { st.Secondaries[0].Total.Bytes = 70 }},
		{`zrsd_secondary_seed_left_bytes` + sec3, 150, 3, func(st *admin.Status) {
			st.Secondaries[0].Seed = &admin.Seed{Done: 1, Total: 4}
		}},
		{`zrsd_upstream_state{state="live"}`, 0, 1, func(st *admin.Status) { st.Upstream.State = "live" }},
		{`zrsd_upstream_protocol{protocol="zrs2.0"}`, 0, 1,
			func(st *admin.Status) { st.Upstream.Protocol = admin.Known("zrs2.0") }},
		{`zrsd_upstream_seed_left_bytes`, 750, 3, func(st *admin.Status) {
			st.Upstream.Seed = &admin.Seed{Done: 1, Total: 4}
		}},
		{`zrsd_role{role="primary"}`, 0, 1, func(st *admin.Status) { st.Role = "primary" }},
		{`zrsd_epoch`, 3, 4, func(st *admin.Status) { st.Epoch.Number = 4 }},
		{`zrsd_fenced`, 1, 0, func(st *admin.Status) { st.Fenced = false }},
		{`zrsd_frozen`, 1, 0, func(st *admin.Status) { st.Frozen = false }},
		{`zrsd_conflict{kind="epoch"}`, 1, 0, func(st *admin.Status) { st.Conflict = nil }},
		{`zrsd_coordinator_lease_remaining_seconds`, 7.5, 1,
			func(st *admin.Status) { st.Coordinator.LeaseRemaining = 1 }},
		{`zrsd_coordinator_maintenance`, 1, 0, func(st *admin.Status) { st.Coordinator.Maintenance = false }},
		{`zrsd_sync_degraded`, 1, 0, func(st *admin.Status) { st.Sync.Degraded = false }},
		{`zrsd_sync_degraded_total`, 2, 3, func(st *admin.Status) { st.Sync.Degradations = 3 }},
		{`zrsd_sync_wait_seconds_sum`, 0.005, 60, func(st *admin.Status) { st.Sync.Waits = long }},
		{`zrsd_sync_waiting`, 1, 0, func(st *admin.Status) { st.Sync.Waiting = 0 }},
	} {
		name, _, _ := strings.Cut(c.sample, "{")
		moved[name] = true
		t.Run(c.sample, func(t *testing.T) {
			n, url := serve(t, full(t))
			if got := scrape(t, url)[c.sample]; fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", c.before) {
				t.Fatalf("before: got %v, want %v", got, c.before)
			}
			n.change(c.change)
			if got := scrape(t, url)[c.sample]; fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", c.after) {
				t.Fatalf("after: got %v, want %v", got, c.after)
			}
		})
	}
	for _, name := range admin.MetricNames() {
		base := name
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, part)
		}
		if !moved[base] && !moved[base+"_sum"] {
			t.Errorf("no case moves %s", name)
		}
	}
}

// The names and texts are as Prometheus' own rules want them.
func TestTheMetricsFollowTheRulesOfPrometheus(t *testing.T) {
	_, url := serve(t, full(t))
	_, _, body := get(t, url+"/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "zrsd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// docs/metrics.md has the metrics of the code.
func TestThePageOfMetricsIsMadeFromTheTable(t *testing.T) {
	const path, mark = "../../docs/metrics.md", "<!-- from internal/admin/metrics_table.go: make generate -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(page), mark)
	want := before + mark + admin.MetricsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("%s is not what the table says: run make generate\n%s", path, diff)
	}
}

// A peer that calls itself by another name with each connection makes no more than a bounded number of series.
func TestNamesOfPeersDoNotMakeSeriesWithoutEnd(t *testing.T) {
	n, url := serve(t, admin.Status{Role: "primary"})
	all := map[string]bool{}
	for i := range 300 {
		n.change(func(st *admin.Status) {
			st.Secondaries = []admin.Secondary{{
				Name: fmt.Sprintf("name %d %s", i, strings.Repeat("x", 1000)), State: "live",
				Lag: admin.Lag{Bytes: admin.Known[int64](1)},
			}}
			st.Totals.Refusals = map[string]int64{fmt.Sprintf("code_%d", i): 1}
		})
		for sample := range scrape(t, url) {
			if strings.HasPrefix(sample, "zrsd_secondary_lag_bytes") || strings.HasPrefix(sample, "zrsd_refusals") {
				all[sample] = true
			}
		}
	}
	if len(all) > 66 || !all[`zrsd_secondary_lag_bytes{name="other"}`] || !all[`zrsd_refusals_total{code="other"}`] {
		t.Errorf("there are %d series: %v", len(all), slices.Sorted(maps.Keys(all)))
	}
	for sample := range all {
		if len(sample) > 200 {
			t.Errorf("a series of %d bytes", len(sample))
		}
	}
}

// A scrape of a process with several storages has each storage's samples, told apart by its name.
func TestEachStorageHasItsOwnSamples(t *testing.T) {
	src := &sites{names: []string{"main", "temp"}, each: map[string]*node{
		"main": primaryThat(nothing), "temp": primaryThat(func(st *admin.Status) { st.Ready = false }),
	}}
	code, body := probe(t, src, http.MethodGet, "/metrics")
	if code != http.StatusOK || !strings.Contains(body, `zrsd_ready{storage="main"} 1`) ||
		!strings.Contains(body, `zrsd_ready{storage="temp"} 0`) {
		t.Errorf("got %d %s", code, body)
	}
}
