package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/zconfig"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// load reads a configuration from a file zeo.conf in a folder of its own, which is the working directory.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("zeo.conf", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load("zeo.conf")
}

const everything = `%import zc.zrs
<zeo>
  address 127.0.0.1: 8100
  read-only $(ZRSD_TEST_READ_ONLY)
  transaction-timeout 300
  <ssl>
    certificate c.pem
    authenticate clients.pem
  </ssl>
</zeo>
<zrs Main>
  replicate-to 127.0.0.1:5000
  replicate-from 127.0.0.1:5001, ./socket
  keep-alive-delay 60
  max-record 2MB
  <blobstorage>
    blob-dir blobs
    <filestorage>
      path Data.fs
      pack-gc off
    </filestorage>
  </blobstorage>
  <tls>
    certificate c.pem
    authority ca.pem
    peer-names a b
  </tls>
</zrs>
<serverzlibstorage>
<filestorage>
  path Other.fs
</filestorage>
</serverzlibstorage>
<zlibstorage third>
<filestorage>
  path Third.fs
  pack-gc off
</filestorage>
</zlibstorage>
<admin>
  address :8101
  insecure-plain-text yes
</admin>
<eventlog>
  level debug
  <logfile>
    path zeo.log
    max-size 1MB
    old-files 3
  </logfile>
</eventlog>
<as-of old>
  at yesterday
  storage main
</as-of>
<runner>
  program bin/runzeo
  user zope
</runner>
<from-archive backup>
  archive s3://backup/app
  cache /srv/cache
  cache-size 1GB
  blob-cache-size 2GB
  identity /etc/zrsd/identity
  rate 1MB
</from-archive>
<as-of before>
  storage backup
  at each day at 06:30
</as-of>
`

func TestEveryValueIsTypedAndKnowsItsPlace(t *testing.T) {
	t.Setenv("ZRSD_TEST_READ_ONLY", "on")
	cfg, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	main, other := cfg.Storages[0], cfg.Storages[1]
	for _, c := range []struct{ what, got, want string }{
		{"address", say(cfg.ZEO.Address), "127.0.0.1:8100 from zeo.conf:3:11"},
		{"read-only", say(cfg.ZEO.ReadOnly), "true from zeo.conf:4:13 ($(ZRSD_TEST_READ_ONLY))"},
		{"transaction-timeout", say(cfg.ZEO.TransactionTimeout), "5m0s from zeo.conf:5:23"},
		{"invalidation-queue-size", say(cfg.ZEO.InvalidationQueueSize), "100 from default"},
		{"authenticate", say(cfg.ZEO.SSL.Authenticate), "clients.pem from zeo.conf:8:18"},
		{"name", main.Name + " " + string(main.Role), "main secondary"},
		{"the other name", other.Name + " " + string(other.Role), "1 standalone"},
		{"replicate-from", say(main.Replication.ReplicateFrom), "[127.0.0.1:5001 ./socket] from zeo.conf:13:18"},
		{"max-record", say(main.Replication.MaxRecord), "2097152 from zeo.conf:15:14"},
		{"heartbeat", say(main.Replication.Heartbeat), "5s from default"},
		{"blob-dir", say(main.BlobDir), "blobs from zeo.conf:17:14"},
		{"path", say(main.Path), "Data.fs from zeo.conf:19:12"},
		{"pack-gc", say(main.PackGC), "false from zeo.conf:20:15"},
		{"peer-names", say(main.Replication.TLS.PeerNames), "[a b] from zeo.conf:26:16"},
		{"admin", say(cfg.Admin.Address), ":8101 from zeo.conf:41:11"},
		{"log", say(cfg.EventLog.Level), "10 from zeo.conf:45:9"},
		{"max-size", say(cfg.EventLog.Files[0].MaxSize), "1048576 from zeo.conf:48:14"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", c.what, c.got, c.want)
		}
	}
	if len(cfg.Notes) != 4 || !strings.Contains(cfg.Notes[2].String(),
		"zeo.conf:58:3: user zope: The user to run as") || !strings.Contains(cfg.Notes[3].String(),
		"zeo.conf:29:1: storage 1: a pack removes objects that only another storage refers to") {
		t.Errorf("the notes are %v", cfg.Notes)
	}
}

func say[T any](v Value[T]) string { return fmt.Sprintf("%v from %v", v.V, v.from) }

// TestEveryKeyOfATableIsRead holds the tables against the code that reads sections: a key of the reference that nobody
// reads would be accepted and ignored.
func TestFormerNamesOfKeysAreRead(t *testing.T) {
	cfg, err := load(
		t,
		"<zeo>\naddress 1\n</zeo>\n<zrs>\nreplicate-to 127.0.0.1:2\nreferee etcd://127.0.0.1:3\nreferee-ttl 7s\n"+
			"<filestorage>\npath Data.fs\n</filestorage>\n</zrs>\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	z := cfg.Storages[0].Replication
	if z.Coordinator.V != "etcd://127.0.0.1:3" || z.CoordinatorTTL.V != 7*time.Second {
		t.Errorf("got %v, %v", z.Coordinator.V, z.CoordinatorTTL.V)
	}
	if len(cfg.Notes) == 0 || !strings.Contains(cfg.Notes[0].String(), "referee is called coordinator now") {
		t.Errorf("the notes are %v", cfg.Notes)
	}
}

func TestEveryKeyOfATableIsRead(t *testing.T) {
	t.Setenv("ZRSD_TEST_READ_ONLY", "on")
	cfg, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, s := range cfg.Settings {
		section := s.Section[strings.LastIndex(s.Section, "/")+1:]
		typ, _, _ := strings.Cut(section, " ")
		shown[typ+" "+s.Key] = true
	}
	for _, table := range tables {
		for _, e := range table.keys {
			if !shown[table.typ+" "+e.name] {
				t.Errorf("nobody reads %s in <%s>", e.name, table.typ)
			}
		}
	}
}

func TestEveryMistakeIsNamedWithItsPlaceAndWhatToDo(t *testing.T) {
	const fs = "<filestorage>\n path Data.fs\n</filestorage>\n"
	const ofA = "<as-of old>\n storage a\n at yesterday\n</as-of>"
	for _, c := range []struct{ text, want string }{
		{"", "zeo.conf:1:1: there is no storage: write <filestorage 1>"},
		{"<zeo>\n</zeo>\n" + fs, "zeo.conf:1:1: <zeo>: the key address is missing"},
		{"<zeo>\n address 1\n read-onky on\n</zeo>\n" + fs,
			"zeo.conf:3:2: there is no key read-onky in <zeo>: did you mean read-only?"},
		{"<zeo>\n address 1\n address 2\n</zeo>\n" + fs,
			"zeo.conf:3:2: address is given twice: it is in zeo.conf line 2 already"},
		{"<zeo>\n address 1\n monitor-address 2\n</zeo>\n" + fs,
			"zeo.conf:3:2: monitor-address: ZEO itself dropped it: use <admin>"},
		{"<zeo>\n address 1\n quota 2\n</zeo>\n" + fs,
			"zeo.conf:3:2: there is no key quota in <zeo>: it belongs into <filestorage>"},
		{"<zeo>\n address localhost\n</zeo>\n" + fs,
			`zeo.conf:2:10: address: "localhost" has no port: write host:port`},
		{"<zeo>\n address 1\n read-only maybe\n</zeo>\n" + fs,
			`zeo.conf:3:12: read-only: "maybe" is neither true nor false`},
		{"<zeo x>\n address 1\n</zeo>\n" + fs, "zeo.conf:1:1: <zeo> has no name"},
		{"<zeo>\n address 1\n</zeo>\n<zeo>\n address 2\n</zeo>\n" + fs,
			"zeo.conf:4:1: a second <zeo>: the first is in zeo.conf line 1"},
		{"<zeos>\n</zeos>\n" + fs, "zeo.conf:1:1: there is no section zeos outside of sections: did you mean zeo?"},
		{"<logfile>\n</logfile>\n" + fs, "zeo.conf:1:1: <logfile> cannot be outside of sections"},
		{"<demostorage>\n</demostorage>\n" + fs, "zeo.conf:1:1: demostorage: zrsd serves FileStorages only"},
		{"<demostorage>\n</demostorage>\n", "zeo.conf:1:1: demostorage: zrsd serves FileStorages only"},
		{"<zlibstorage 1>\n</zlibstorage>\n", "zeo.conf:1:1: <zlibstorage> needs a <filestorage>"},
		{"<zlibstorage 1>\n <zrs>\n </zrs>\n</zlibstorage>\n",
			"zeo.conf:2:2: <zrs> cannot be in <zlibstorage>: move it"},
		{"<serverzlibstorage 1>\n</serverzlibstorage>\n", "zeo.conf:1:1: <serverzlibstorage> needs a <filestorage>"},
		{"<primary 1>\n path a\n</primary>\n", "zeo.conf:1:1: primary: it is a section of ZRS 1: write <zrs 1> with " +
			"replicate-to HOST:PORT"},
		{"<secondary 1>\n path a\n</secondary>\n", "zeo.conf:1:1: secondary: it is a section of ZRS 1: write <zrs 1> " +
			"with replicate-from HOST:PORT"},
		{"<zrs>\n replicate-to ./a\n <mappingstorage>\n </mappingstorage>\n</zrs>\n",
			"zeo.conf:3:2: there is no section mappingstorage in <zrs>"},
		{"path x\n" + fs, "zeo.conf:1:1: there is no key path outside of sections: it belongs into <filestorage> " +
			"or <logfile>"},
		{"%import zc.beforestorage\n" + fs, "zeo.conf:1:9: %import zc.beforestorage: its sections are not known here"},
		{fs + "<filestorage>\n path b\n</filestorage>", "zeo.conf:4:1: a second storage without a name"},
		{fs + "<filestorage 1>\n path b\n</filestorage>", "zeo.conf:4:1: a second storage of the name 1"},
		{fs + "<filestorage 2>\n path ./Data.fs\n</filestorage>",
			"zeo.conf:5:7: Data.fs is used twice: the storage 1 has it"},
		{"<filestorage>\n path no/Data.fs\n</filestorage>",
			"zeo.conf:2:7: path: no/Data.fs: there is no folder no: create it"},
		{"<filestorage>\n path a\n create yes\n</filestorage>",
			"zeo.conf:3:2: create cannot be honoured: it empties the storage"},
		{"<filestorage>\n path a\n quota 1GB\n</filestorage>",
			"zeo.conf:3:2: quota cannot be honoured: zrsd has no quota"},
		{"<filestorage>\n path a\n packer x.y\n</filestorage>",
			"zeo.conf:3:2: packer cannot be honoured: zrsd runs no Python"},
		{"<filestorage>\n path a\n archive-rate 1MB\n</filestorage>",
			"zeo.conf:3:2: archive-rate: there is no archive"},
		{"<filestorage>\n path a\n read-only on\n archive /b\n</filestorage>",
			"zeo.conf:4:10: archive: a storage that is read-only is archived where it is written"},
		{zrs("replicate-to ./a\narchive /a\n", " archive /b\n"),
			"zeo.conf:7:9: archive: <filestorage> has one already"},
		{"<blobstorage>\n blob-dir b\n</blobstorage>", "zeo.conf:1:1: <blobstorage> needs a <filestorage> inside"},
		{zrs("replicate-to ./a\n", " read-only on\n"), "zeo.conf:3:12: read-only: a storage in <zrs> writes"},
		{zrs("", ""), "zeo.conf:1:1: <zrs> needs replicate-to, replicate-from, or both"},
		{zrs("replicate-to :5000\n", ""), "zeo.conf:6:14: :5000 can be reached from other machines"},
		{zrs("replicate-from db:5000\n", ""), "zeo.conf:6:16: db:5000 is another machine"},
		{zrs("replicate-from ./a\nreplicate-to ./a\n", ""),
			"zeo.conf:6:16: replicate-from and replicate-to are the same address"},
		{zrs("replicate-to ./a\nblobs shared\n", ""), "zeo.conf:7:7: blobs shared: a primary owns its blobs"},
		{zrs("replicate-from ./a\nblobs shared\n", ""),
			"zeo.conf:7:7: blobs shared: name the primary's blob directory"},
		{zrs("replicate-from ./a\nprotocol zrs3\n", ""),
			`zeo.conf:7:10: protocol: "zrs3" is not possible: write auto or native or zrs2`},
		{zrs("replicate-from ./a\nheartbeat 0\n", ""), "zeo.conf:7:11: heartbeat: a time above zero is needed"},
		{zrs("replicate-to ./a\nmax-secondaries 0\n", ""), "zeo.conf:7:17: max-secondaries: 0 is too small"},
		{fs + "<admin>\n address 0.0.0.0:1\n</admin>", "zeo.conf:5:10: 0.0.0.0:1 can be reached from other machines"},
		{fs + "<zeo>\n address 127.0.0.1:1\n</zeo>\n<admin>\n address 127.0.0.1:1\n</admin>",
			"zeo.conf:8:10: <admin>: <zeo> listens at 127.0.0.1:1 already"},
		{fs + "<as-of old>\n at yesterday\n</as-of>", "zeo.conf:4:1: <as-of old>: nobody can use it"},
		{zeoServer + fs + "<as-of>\n at yesterday\n</as-of>", "zeo.conf:7:1: <as-of> needs a name for its clients"},
		{zeoServer + fs + "<as-of old>\n</as-of>", "zeo.conf:7:1: <as-of>: the key at is missing"},
		{zeoServer + fs + "<as-of old>\n at soon\n</as-of>", `zeo.conf:8:5: at: moment "soon": write a TID`},
		{zeoServer + fs + "<from-archive>\n archive /a\n cache /c\n</from-archive>",
			"zeo.conf:7:1: <from-archive> needs a name for <as-of>"},
		{zeoServer + fs + "<from-archive a>\n cache /c\n</from-archive>\n" + ofA,
			"zeo.conf:7:1: <from-archive>: the key archive is missing"},
		{zeoServer + fs + "<from-archive a>\n archive /a\n cache /c\n cache-size 1MB\n</from-archive>\n" + ofA,
			"zeo.conf:10:13: cache-size: give at least 256MB"},
		{zeoServer + fs + "<from-archive a>\n archive /a\n cache /c\n</from-archive>",
			"zeo.conf:7:1: <from-archive a>: no <as-of> names it: write one with storage a"},
		{zeoServer + fs + "<from-archive 1>\n archive /a\n cache /c\n</from-archive>\n" +
			"<as-of old>\n storage 1\n at yesterday\n</as-of>", "zeo.conf:7:1: a second storage of the name 1"},
		{zeoServer + fs + "<from-archive a>\n archive /a\n cache Data.fs\n</from-archive>\n" +
			"<as-of old>\n storage a\n at yesterday\n</as-of>", "zeo.conf:9:8: cache: Data.fs is of storage 1 already"},
		{zeoServer + fs + "<from-archive a>\n archive /a\n cache /c\n</from-archive>\n" +
			"<as-of old>\n at yesterday\n</as-of>", "zeo.conf:11:1: <as-of old>: there are several storages"},
		{zeoServer + "<from-archive a>\n archive /a\n cache /c\n</from-archive>\n" +
			"<from-archive b>\n archive /b\n cache /c\n</from-archive>\n" +
			"<as-of x>\n storage a\n at yesterday\n</as-of>\n<as-of y>\n storage b\n at yesterday\n</as-of>",
			"zeo.conf:10:8: cache: /c is of <from-archive a> already"},
		{zeoServer + fs + "<as-of 1>\n at yesterday\n</as-of>", "zeo.conf:7:1: a second storage of the name 1"},
		{zeoServer + fs + "<as-of old>\n storage 2\n at yesterday\n</as-of>",
			"zeo.conf:8:10: storage: there is no storage 2 in this file"},
		{fs + "<eventlog>\n level loud\n</eventlog>", `zeo.conf:5:8: level: "loud" is no level`},
		{fs + logfile("format %(lineno)d"), "zeo.conf:7:9: format: format: there is no field lineno"},
		{fs + logfile("dateformat %Q"), "zeo.conf:7:13: dateformat: dateformat: %Q is not known"},
		{fs + logfile("max-size 1MB"), "zeo.conf:7:11: max-size needs old-files"},
		{fs + logfile("when midnight"), "zeo.conf:7:2: when cannot be honoured"},
		{fs + "<eventlog>\n <syslog>\n </syslog>\n</eventlog>",
			"zeo.conf:5:2: syslog: zrsd logs to files, STDOUT and STDERR"},
	} {
		_, err := load(t, c.text)
		var all zconfig.Errors
		if !errors.As(err, &all) || len(all) != 1 || !strings.HasPrefix(all[0].Error(), c.want) {
			t.Errorf("%s\ngives %v\nwant  %s", c.text, err, c.want)
		}
	}
}

// zeoServer has three lines.
const zeoServer = "<zeo>\n address 127.0.0.1:1\n</zeo>\n"

// zrs returns a replicated storage: line 3 is a key of the file, keys of <zrs> begin in line 6.
func zrs(keys, inner string) string {
	if inner == "" {
		inner = "\n"
	}
	return "<zrs>\n<filestorage>\n" + inner + "path Data.fs\n</filestorage>\n" + keys + "</zrs>\n"
}

// logfile returns a log file with a key in the fourth line.
func logfile(key string) string {
	return "<eventlog>\n<logfile>\npath x\n " + key + "\n</logfile>\n</eventlog>"
}

func TestAllMistakesOfAFileAreToldAtOnceInOrder(t *testing.T) {
	_, err := load(t, "<zeo>\n addrezz 1\n</zeo>\n<filestorage>\n path a\n quota "+
		"x\n</filestorage>\n<admin>\n?\n</admin>\n")
	var all zconfig.Errors
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range all {
		lines = append(lines, fmt.Sprint(e.Pos.Line))
	}
	if got := strings.Join(lines, " "); got != "1 2 6 8 9" {
		t.Errorf("mistakes in lines %s:\n%v", got, err)
	}
}

func TestTheEnvironmentGivesDefaultsAsItDoesForRunzeo(t *testing.T) {
	t.Setenv("ZEO_MSGPACK", "1")
	t.Setenv("INSTANCE_HOME", "/srv/zeo")
	const file = "<zeo>\n address 1\n%s</zeo>\n<filestorage>\n path a\n</filestorage>\n"
	cfg, err := load(t, fmt.Sprintf(file, ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := say(cfg.ZEO.Msgpack) + ", " + say(cfg.ZEO.PIDFile); got !=
		"true from environment ZEO_MSGPACK, /srv/zeo/var/ZEO.pid from environment INSTANCE_HOME" {
		t.Error(got)
	}
	cfg, err = load(t, fmt.Sprintf(file, "msgpack no\npid-filename ./pid\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ZEO.Msgpack.V || cfg.ZEO.PIDFile.V != "./pid" {
		t.Errorf("the environment went before the file: %+v", cfg.ZEO)
	}
}

const referencePath = "../../docs/configuration.md"

// marker separates what is written by hand from the reference.
const marker = "<!-- From here on written by `go test ./internal/config -update`. -->\n\n"

func TestTheReferenceIsThatOfTheTables(t *testing.T) {
	path, err := filepath.Abs(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, got, found := strings.Cut(string(b), marker)
	if !found {
		t.Fatalf("%s has no line %s", path, marker)
	}
	want := strings.TrimRight(reference(), "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(head+marker+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s is not what the tables say: run go test ./internal/config -update", path)
	}
}

// The server of clients with <zlibstorage>, as their documentation has it, and with replication around it.
func TestAServerOfCompressingClientsIsAFileStorage(t *testing.T) {
	for _, text := range []string{
		"%import zc.zlibstorage\n<zeo>\n address ./s\n</zeo>\n<serverzlibstorage 7>\n <filestorage>\n  path " +
			"Data.fs\n  pack-gc off\n </filestorage>\n</serverzlibstorage>\n",
		"%import zc.zlibstorage\n%import zc.zrs\n<zrs 7>\n replicate-to ./r\n <serverzlibstorage>\n  " +
			"<filestorage>\n   path Data.fs\n   pack-gc off\n  </filestorage>\n </serverzlibstorage>\n</zrs>\n",
	} {
		cfg, err := load(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if st := cfg.Storages[0]; st.Name != "7" || st.Path.V != "Data.fs" || st.PackGC.V || st.Zlib != (Zlib{}) {
			t.Errorf("%s: %+v", text, st)
		}
	}
}

// A server of clients without <zlibstorage> decompresses for them, and compresses unless it is told not to.
func TestAMomentIsOfTheOnlyStorageOrOfTheNamedOne(t *testing.T) {
	const one = zeoServer + "<filestorage main>\n path Data.fs\n</filestorage>\n"
	cfg, err := load(t, one+"<as-of old>\n at each day at 06:30\n</as-of>\n")
	if err != nil || len(cfg.Moments("main")) != 1 || cfg.Moments("main")[0].At.V.String() != "each day at 06:30" {
		t.Errorf("of the only one: %v, %v", cfg, err)
	}
	const two = one + "<filestorage b>\n path b.fs\n</filestorage>\n"
	cfg, err = load(t, two+"<as-of old>\n storage b\n at today\n</as-of>\n")
	if err != nil || len(cfg.Moments("main")) != 0 || len(cfg.Moments("b")) != 1 {
		t.Errorf("of the named one: %v, %v", cfg, err)
	}
	_, err = load(t, two+"<as-of old>\n at today\n</as-of>\n")
	if err == nil || !strings.Contains(err.Error(), "there are several storages") {
		t.Errorf("of one of two: %v", err)
	}
}

func TestAServerMayCompressForItsClients(t *testing.T) {
	const head, inside = "%import zc.zlibstorage\n%import zc.zrs\n<zeo>\n address ./s\n</zeo>\n",
		"<filestorage>\n path Data.fs\n</filestorage>\n</zlibstorage>\n"
	for _, c := range []struct {
		text string
		want Zlib
	}{
		{"<zlibstorage 7>\n" + inside, Zlib{Decompress: true, Compress: true}},
		{"<zlibstorage 7>\n compress off\n" + inside, Zlib{Decompress: true}},
		{"<zrs 7>\n replicate-to ./r\n<zlibstorage>\n compress no\n" + inside + "</zrs>\n", Zlib{Decompress: true}},
	} {
		cfg, err := load(t, head+c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if st := cfg.Storages[0]; st.Name != "7" || st.Path.V != "Data.fs" || st.Zlib != c.want {
			t.Errorf("%s: %+v", c.text, st)
		}
	}
}

// Where a storage is archived is written in <filestorage>, with any role, or around it in <zrs>.
func TestTheArchiveOfAStorage(t *testing.T) {
	const keys = "archive /backup\narchive-interval 5s\narchive-recipients age1a age1b\n"
	for name, text := range map[string]string{
		"alone":          "<filestorage>\n path a\n" + keys + "</filestorage>\n",
		"in the storage": zrs("replicate-to ./a\n", keys),
		"around it":      zrs("replicate-from ./a\n"+keys, ""),
	} {
		cfg, err := load(t, text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a := cfg.Storages[0].Archive
		if a.URL.V != "/backup" || a.Interval.V != 5*time.Second || len(a.Recipients.V) != 2 || a.Bytes.V != 8<<20 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
