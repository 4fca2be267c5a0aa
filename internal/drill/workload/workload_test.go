package workload

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zeotest"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends every wait; a healthy run never comes near it.
const patience = 2 * time.Minute

// serve serves a storage until stop, which closes it.
func serve(t *testing.T, path string) (addr string, stop func()) {
	t.Helper()
	st, err := filestorage.Open(t.Context(), path, filestorage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return zeotest.Serve(t, st, zeo.Options{}, zeo.StorageOptions{})
}

func TestWhatClientsOfOneServerRecordIsRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	addr, stop := serve(t, path)
	begun := time.Now()
	var lines bytes.Buffer
	l := &Load{
		Targets: []Target{{"a", addr}}, Objects: []zodb.Oid{1, 2, 3}, Counter: 4, Writers: 3, Seed: 1,
		Clock: func() int64 { return int64(time.Since(begun)) }, Log: consistency.NewLog(&lines),
		Timeout: patience, Pause: time.Millisecond,
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.Setup(ctx); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	running, end := context.WithCancel(ctx)
	go func() { l.Run(running); close(over) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l.Log.Count(consistency.Commit) < 50 || l.Log.Count(consistency.Snapshot) < 20 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the clients do nothing")
		}
	}
	end()
	<-over
	stop()
	ops, err := l.Log.Close()
	if err != nil {
		t.Fatal(err)
	}
	txns, err := ReadFile(t.Context(), path, map[zodb.Oid]bool{1: true, 2: true, 3: true, 4: true})
	if err != nil {
		t.Fatal(err)
	}
	truth, err := consistency.NewTruth(txns)
	if err != nil {
		t.Fatal(err)
	}
	v := consistency.Check(&consistency.Case{
		Ops: ops, Truth: truth, PrimaryPeriods: []consistency.PrimaryPeriod{{Node: "a"}},
	})
	if len(v.Violations) > 0 || v.PrimaryReads == 0 {
		t.Errorf("%+v", v)
	}
}

func TestAClientGivesUpWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := &Load{
		Targets: []Target{{"a", filepath.Join(t.TempDir(), "nobody.sock")}}, Objects: []zodb.Oid{1}, Counter: 2,
		Writers: 1, Clock: func() int64 { return 0 }, Log: consistency.NewLog(&bytes.Buffer{}),
	}
	if err := l.Setup(ctx); err == nil {
		t.Error("objects were made nowhere")
	}
	l.Run(ctx)
}

func TestOnlyRecordsOfDrillsHaveValues(t *testing.T) {
	data, err := record("x")
	if err != nil {
		t.Fatal(err)
	}
	if value, ours := value(data); !ours || value != "x" {
		t.Errorf("read %q, %v", value, ours)
	}
	of, err := pickle.DumpRecord(pickle.Global{Module: "another", Name: "Class"}, "x", limits)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"", "\x80\x03cBTrees.Length\nLength\n.\x80\x03K\x01.", "garbage", string(of)} {
		if _, ours := value([]byte(other)); ours {
			t.Errorf("%q is taken for one of a drill", other)
		}
	}
}
