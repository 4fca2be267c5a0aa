package doctor

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/internal/warning"
)

// finds checks that a look finds something of this level and code whose text has these words.
func finds(t *testing.T, r *Report, level Level, code warning.Code, words string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Level == level && f.Code == code && strings.Contains(f.Text, words) {
			if (f.Cure == "") != (level == OK) {
				t.Errorf("%q has the cure %q", f.Text, f.Cure)
			}
			return
		}
	}
	t.Errorf("no finding %s %q with %q in %+v", level, code, words, r.Findings)
}

func TestTheWorstFindingCounts(t *testing.T) {
	for _, c := range []struct {
		levels []Level
		want   Level
	}{
		{nil, OK}, {[]Level{OK, OK}, OK}, {[]Level{Warn, OK}, Warn}, {[]Level{Warn, Bad, OK}, Bad},
		{[]Level{Bad, Warn}, Bad},
	} {
		var r Report
		for _, l := range c.levels {
			r.Findings = append(r.Findings, Finding{Level: l})
		}
		if got := r.Worst(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.levels, got, c.want)
		}
	}
}

// What is wrong has its code and what to do in the line below it, and no control character of a peer.
func TestAReportForPeopleAndForPrograms(t *testing.T) {
	var r Report
	r.ok("all is well")
	r.Wrong(warning.BackupOld, "no\x1b[2J backup")
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok    all is well\n", "bad   no", "\n      backup_old: see why"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in %q", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("a control character is in %q", text.String())
	}
	b, err := json.Marshal(&r)
	if err != nil || !strings.Contains(string(b), `"level":"bad","code":"backup_old"`) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestWhatANodeSays(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		status admin.Status
		level  Level
		code   warning.Code
		words  string
	}{
		"all is well":        {admin.Status{Now: now}, OK, "", "it has no warnings"},
		"the clock agrees":   {admin.Status{Now: now.Add(time.Second)}, OK, "", "agrees"},
		"the clock is ahead": {admin.Status{Now: now.Add(time.Minute)}, Warn, warning.ClockSkew, "its clock says"},
		"the clock is behind": {admin.Status{Now: now.Add(-time.Minute)}, Warn, warning.ClockSkew,
			"its clock says"},
		"a warning": {admin.Status{Now: now, Warnings: []warning.Warning{{Code: warning.Frozen, Severity: warning.Minor,
			Text: "it is frozen", Cure: "thaw"}}}, Warn, warning.Frozen, "it is frozen"},
		"a critical one": {admin.Status{Now: now, Warnings: []warning.Warning{{Code: warning.Fenced,
			Severity: warning.Critical, Text: "it is fenced", Cure: "demote"}}}, Bad, warning.Fenced, "it is fenced"},
	} {
		t.Run(name, func(t *testing.T) {
			var r Report
			r.Node(&c.status, now, now)
			finds(t, &r, c.level, c.code, c.words)
		})
	}
}

func TestNodesOfOneVersion(t *testing.T) {
	nodes := func(versions ...string) *admin.Cluster {
		var c admin.Cluster
		for _, v := range versions {
			n := admin.ClusterNode{Name: v}
			n.Version = v
			c.Nodes = append(c.Nodes, n)
		}
		return &c
	}
	var r Report
	r.Cluster(nodes("v1", "v1", ""))
	finds(t, &r, OK, "", "2 of 3 nodes say their version, and it is the same")
	r.Cluster(nodes("v1", "v2"))
	finds(t, &r, Warn, warning.VersionsDiffer, "v2")
	silent := nodes("v1", "")
	silent.Nodes[1].Name, silent.Nodes[1].Error = "db2", admin.Known("connection refused")
	r = Report{}
	r.Cluster(silent)
	finds(t, &r, Warn, warning.NodeSilent, "db2 does not answer: connection refused")
	if len(r.Findings) != 1 {
		t.Errorf("one node alone was compared: %+v", r.Findings)
	}
}

// The clocks of the nodes are compared with each other, not only with that of the machine that looks: a node that is
// silent says nothing of its clock now.
func TestNodesOfOneTime(t *testing.T) {
	for name, c := range map[string]struct {
		ahead  float64
		silent bool
		level  Level
		code   warning.Code
		words  string
	}{
		"agrees":    {ahead: 1.5, level: OK, words: "agrees with what 2 other"},
		"ahead":     {ahead: 90, level: Warn, code: warning.ClockSkew, words: "db3: its clock is 1m30s ahead of"},
		"behind":    {ahead: -2.5, level: Warn, code: warning.ClockSkew, words: "db3: its clock is 2.5s behind that"},
		"is silent": {ahead: 90, silent: true, level: OK, words: "with what 1 other node says"},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []admin.ClusterNode{{Name: "db1"}, {Name: "db2", ClockAhead: admin.Known(0.0)},
				{Name: "db3", ClockAhead: &c.ahead}}
			if c.silent {
				nodes[2].Error = admin.Known("connection refused")
			}
			var r Report
			r.clocks(nodes)
			finds(t, &r, c.level, c.code, c.words)
		})
	}
}

// A client loads what it works with once, and again what was changed.
func TestAClientWhoseCacheIsTooSmall(t *testing.T) {
	now := time.Now()
	st := &admin.Status{Name: "db1", Now: now, ZEO: &admin.ZEO{Stores: 50},
		Storage: admin.Storage{Objects: admin.Known[int64](100)}}
	client := func(loads int64, connected time.Duration) admin.Client {
		return admin.Client{Label: admin.Known("web1"), Loads: loads, Since: now.Add(-connected)}
	}
	for _, c := range []struct {
		client admin.Client
		level  Level
		code   warning.Code
		words  string
	}{
		{client(300, time.Hour), OK, "", "none of 1 client "},
		{client(301, time.Hour), Warn, warning.CacheSmall,
			"web1 has loaded 301 objects in 1h0m0s, and the storage has 100"},
		{client(9000, time.Minute), OK, "", "none of 1 client "},
	} {
		var r Report
		r.Clients(st, []admin.Client{c.client})
		finds(t, &r, c.level, c.code, c.words)
	}
	var none Report
	none.Clients(&admin.Status{}, nil)
	if len(none.Findings) > 0 {
		t.Errorf("a node without clients: %+v", none.Findings)
	}
}

func write(t *testing.T, path string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestThePlaceOfAStorage(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "Data.fs")
	var r Report
	r.Storage(data, "")
	finds(t, &r, OK, "", "there is no data file yet")
	finds(t, &r, OK, "", "no server has it")
	finds(t, &r, OK, "", "MiB are free")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it has left %v, %v", entries, err)
	}
	write(t, data, 0)
	write(t, data+".old", 24*time.Hour)
	r = Report{}
	r.Storage(data, filepath.Join(dir, "blobs"))
	finds(t, &r, OK, "", "belongs to the user that looks")
	if r.Worst() == Bad {
		t.Errorf("a place where all is well: %+v", r.Findings)
	}
	write(t, data+".old", 40*24*time.Hour)
	r.pack(data)
	finds(t, &r, Warn, warning.PackOld, "40 days ago")
}

// The files of another user are refused, in two ways: root would make files that the server cannot use, and anybody
// else cannot read them.
func TestFilesOfAnotherUser(t *testing.T) {
	data := filepath.Join(t.TempDir(), "Data.fs")
	write(t, data, 0)
	var r Report
	if os.Geteuid() == 0 {
		if err := os.Chown(data, 500, 500); err != nil {
			t.Fatal(err)
		}
		r.Storage(data, "")
		finds(t, &r, Bad, warning.NotOwner, "belongs to user 500, and root looks")
		return
	}
	for _, path := range []string{data, filepath.Dir(data)} {
		if err := os.Chmod(path, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	r.Storage(data, "")
	finds(t, &r, Bad, warning.NotOwner, "cannot be read and written")
	finds(t, &r, Bad, warning.NotOwner, "cannot be written to")
}

func TestAServerThatHasTheStorage(t *testing.T) {
	data := filepath.Join(t.TempDir(), "Data.fs")
	lock, err := os.Create(data + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var r Report
	r.lock(data)
	finds(t, &r, OK, "", "no server has it")
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r.lock(data)
	finds(t, &r, OK, "", "a server has it")
}

func TestRoomOnTheDisk(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		free, size int64
		level      Level
		code       warning.Code
	}{
		{500 * gib, 1000 * gib, OK, ""},
		{9 * gib, 1000 * gib, Warn, warning.DiskLow},
		{gib / 2, 1000 * gib, Bad, warning.DiskFull},
	} {
		var r Report
		r.room("/srv", c.free, c.size)
		finds(t, &r, c.level, c.code, "/srv: ")
	}
	var r Report
	r.fileSystem(filepath.Join(t.TempDir(), "nothing"))
	finds(t, &r, Warn, warning.DiskUnknown, "no such file")
	if r = (Report{}); unix.Access("/dev/shm", unix.W_OK) == nil {
		r.fileSystem("/dev/shm")
		finds(t, &r, Warn, warning.NetworkDisk, "tmpfs")
	}
}

func TestHowOldTheBackupIs(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		prepare func()
		level   Level
		words   string
	}{
		{func() {}, Bad, "has no backup"},
		{func() { write(t, filepath.Join(dir, "a.fsz"), 50*time.Hour) }, Bad, "50 hours old"},
		{func() { write(t, filepath.Join(dir, "b.fsz"), time.Hour) }, OK, "is 1h0m0s old"},
	} {
		c.prepare()
		var r Report
		r.Backup(dir, time.Now())
		code := warning.BackupOld
		if c.level == OK {
			code = ""
		}
		finds(t, &r, c.level, code, c.words)
	}
	var r Report
	r.Backup(filepath.Join(dir, "nowhere"), time.Now())
	finds(t, &r, Bad, warning.BackupOld, "no such file")
}

func TestTheLimitOfOpenFiles(t *testing.T) {
	var r Report
	r.OpenFiles(1)
	finds(t, &r, OK, "", "this user may open")
	r.OpenFiles(1 << 40)
	finds(t, &r, Warn, warning.FewFiles, "clients need")
}

// says is a server that says one thing to each that connects.
func says(t *testing.T, text string) endpoint.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(text))
			_, _ = conn.Read(make([]byte, 100)) // until the other side has seen enough
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-served })
	e, err := endpoint.Parse(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestWhatListensAtAnAddress(t *testing.T) {
	zeo := says(t, "\x00\x00\x00\x02Z5")
	ssh := says(t, "SSH-2.0-OpenSSH_9.2\r\n")
	silent := says(t, "")
	var r Report
	r.Port(context.Background(), "zeo", zeo, service.ZEO)
	finds(t, &r, OK, "", "a ZEO server listens there")
	r.Port(context.Background(), "admin", zeo, service.HTTP)
	finds(t, &r, Bad, warning.WrongPort, "a ZEO server listens there")
	r.Port(context.Background(), "zeo", ssh, service.ZEO)
	finds(t, &r, Bad, warning.WrongPort, "an SSH server listens there")
	r.Port(context.Background(), "replicate-to", silent, service.Replication)
	finds(t, &r, OK, "", "something listens there")
	free, err := endpoint.Parse(filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	r.Port(context.Background(), "admin", free, service.HTTP)
	finds(t, &r, OK, "", "nothing listens there")
	before := len(r.Findings)
	if r.Port(context.Background(), "admin", endpoint.Endpoint{}, service.HTTP); len(r.Findings) != before {
		t.Error("an address that is not given was looked at")
	}
}
