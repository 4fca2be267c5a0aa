package integration

import (
	_ "embed" // the shell around the blocks
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A docBlock is a block of commands of a page.
type docBlock struct{ page, text string }

// first is the first line of a block, by which the tables below name it.
func (b docBlock) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(b.text), "\n")
	return b.page + ": " + line
}

// A docStory is a block that is run as it is written, in a network of its own, with an empty folder as the working
// directory. before is what the page says that there is already; after is what has to hold then. Servers end with the
// block, unless the next one needs them.
type docStory struct {
	block, before, after string
	goOn                 bool // it continues where the block before it has ended
}

// A site that exists, as the pages assume it: a Data.fs, and blobs where they are named.
const (
	aSite = "fixture site\n"
	aConf = "mkdir -p var && printf '<zeo>\\naddress 127.0.0.1:8100\\n</zeo>\\n<filestorage 1>\\npath " +
		"var/Data.fs\\n" +
		"</filestorage>\\n' > zeo.conf\n"
	certificates = "certificates\nmachines a b c d\nmkdir b c d run\nfixture a; mv a/blobs a.blobs\n"
)

var docStories = []docStory{
	{block: "README.md: zrsd serve -C zeo.conf", before: aConf, after: "test -f var/Data.fs"},
	{block: "README.md: zrsd primary --attach --data site/Data.fs --blobs site/blobs --replicate-to 127.0.0.1:5000",
		before: aSite + "mkdir copy\n"},
	{block: "quick-start.md: zrsd primary --attach --data site/Data.fs --blobs site/blobs \\", before: aSite},
	{block: "quick-start.md: mkdir copy", goOn: true},
	{block: "quick-start.md: zrsd status 127.0.0.1:5001", goOn: true},
	{block: "quick-start.md: zrsd compare site/Data.fs copy/Data.fs --blobs-a site/blobs --blobs-b " +
		"copy/blobs", goOn: true},
	{block: "zeo.md: zrsd primary --data var/Data.fs --blobs var/blobs --replicate-to 127.0.0.1:5000 " +
		"--zeo 127.0.0.1:8100",
		before: "fixture var; mkdir copy\n", after: "zrsd status copy/Data.fs"},
	{block: "failover.md: tls=\"--tls-cert node.crt --tls-key node.key --tls-ca ca.pem\"", before: certificates,
		after: "await 'zrsd status --cluster run/a'"},
	{block: "failover.md: zrsd secondary --name d --spare --data d/Data.fs --replicate-to :5001 --replicate-from " +
		"a:5001,b:5001,c:5001 --sync-secondaries 2 --sync-names a,b,c,d $tls", goOn: true},
	{block: "operations.md: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj " +
		"\"/CN=zrsd CA\" \\", before: "fixture .; mv blobs away; cp $FIXTURES/one-txn/Data.fs .\n"},
	{block: "operations.md: zrsd secondary --data /srv/copy/Data.fs --blobs /mnt/nas/blobs --blobs-shared " +
		"--replicate-from db1:5000 \\", before: "certificates; mkdir /srv/copy; fixture /srv/main /mnt/nas/blobs\n" +
		"zrsd primary --data /srv/main/Data.fs --blobs /mnt/nas/blobs --replicate-to db1:5000 --tls-cert db2.crt " +
		"--tls-key db2.key --tls-ca ca.pem\n"},
	{block: "migrating-from-zc-zrs.md: zrsd check Data.fs --blobs blobs", before: "fixture .\n"},
	{block: "migrating-from-zc-zrs.md: zrsd compare A/Data.fs B/Data.fs --blobs-a A/blobs --blobs-b B/blobs",
		before: "fixture A; fixture B\n"},
	{block: "migrating-from-zc-zrs.md: zrsd primary --attach --data Data.fs --blobs blobs --replicate-to " +
		"127.0.0.1:5000 " +
		"--admin 127.0.0.1:5002", before: "fixture .\n"},
	{block: "blobs.md: zrsd blobs audit var/Data.fs --blobs var/blobs",
		before: "fixture var; zrsd serve --data var/Data.fs --blobs var/blobs --zeo 127.0.0.1:8100 " +
			"--admin 127.0.0.1:5001\n"},
	{block: "blobs.md: zrsd blobs convert var/Data.fs --blobs var/blobs --to bushy " +
		"--dry-run", before: "fixture var\n"},
	{block: "blobs.md: zrsd blobs convert 127.0.0.1:5001 --to bushy",
		before: "fixture var; zrsd serve --data var/Data.fs --blobs var/blobs --zeo 127.0.0.1:8100 " +
			"--admin 127.0.0.1:5001\n"},
	{block: "blobs.md: zrsd blobs stats var/Data.fs --blobs var/blobs",
		before: "fixture var; zrsd serve --data var/Data.fs --blobs var/blobs --zeo 127.0.0.1:8100 " +
			"--admin 127.0.0.1:5001\n"},
	{block: "reports.md: zrsd serve --data var/Data.fs --blobs var/blobs --as-of \"2026-01-31 18:00\" --zeo " +
		"127.0.0.1:8200 --admin 127.0.0.1:8201", before: "fixture var\n"},
	{block: "reports.md: zrsd diff var/Data.fs \"4h ago\" latest", before: "fixture var\n"},
	{block: "reports.md: zrsd export var/Data.fs -o site.sqlite --format sqlite --paths", before: "fixture var\n",
		after: "test -f site/plone.app.contenttypes.content.Document.parquet"},
	{block: "commands-json.md: curl --unix-socket var/admin -X POST -H 'Zrsd-Command: pack' http://zrsd/pack",
		before: "fixture var; zrsd serve --data var/Data.fs --blobs var/blobs --zeo 127.0.0.1:8100 " +
			"--admin var/admin\n"},
}

// notRun are the blocks that cannot be run here, and why.
var notRun = map[string]string{
	"reports.md: zrsd serve --from-archive s3://backup/app --as-of \"2026-01-31 18:00\" --cache /srv/cache --zeo " +
		"127.0.0.1:8200": "it needs a store of Amazon; TestClientsReadAMomentFromAnArchive runs it",
	"blobs.md: zrsd blobs push   var/Data.fs --blobs var/blobs --store 's3://site-blobs/app?region=eu-central-1' " +
		"--dry-run": "it needs a store of Amazon; script blobs_store.txtar tries them with a folder",
	"blobs.md: zrsd primary --data var/Data.fs --blobs var/blobs --replicate-to db1:5000 --zeo :8100 --blobs-store " +
		"'s3://site-blobs/app?region=eu-central-1' --blobs-store-grace 720h": "likewise; " +
		"TestAPrimaryRemovesWhatPacksLeaveInTheObjectStore runs one with a server here",
	"blobs.md: zrsd blobs recover var/Data.fs --blobs var/blobs --from /srv/client1/blob-cache --from " +
		"/srv/client2/blob-cache --dry-run": "it needs a backup at /backup; script blobs.txtar tries it",
	"blobs.md: zrsd blobs audit var/Data.fs --blobs var/cache --store 's3://site-blobs/app?region=eu-central-1'": "" +
		"it needs a store of Amazon; script blobs.txtar tries it with a folder",
	"reports.md: nats stream add ZODB --subjects zodb.main --storage file --retention limits --defaults": "it goes " +
		"on until it is interrupted, and needs a NATS server; TestAFeedToJetStream… has one",
	"reports.md: kafka-topics.sh --bootstrap-server kafka.example:9092 --create --topic zodb --partitions 1": "it " +
		"goes on without end; TestAFeedToKafkaThatIsKilledMissesAndRepeatsNothing does it",
	"reports.md: zrsd feed db2.example:5001 --after latest --follow --output changes.jsonl": "it goes on " +
		"until it is " +
		"interrupted; the tests of the feed try it",
	"reports.md: zrsd secondary --data copy/Data.fs --blobs copy/blobs --replicate-from db1:5000 --zeo :8300 " +
		"--apply-delay 4h --admin 127.0.0.1:5002": "it shows something after four hours; TestADelayedSecondary… " +
		"runs one with less",
	"reports.md: zrsd undo-log 127.0.0.1:5002 --received --count 5": "its moments are those of a mistake; as above",
	"reports.md: zrsd revert 127.0.0.1:5001 --to \"2026-01-31 14:05\" --oid 0x1f --subtree --dry-run": "likewise; " +
		"TestAClientReadsATreeThatWasReverted reverts one",
	"README.md: make demo     # needs Go, uses Python 3 where it is there; about a minute": "it is what CI runs",
	"README.md: zrsd drill --scenario primary-killed --report drill.html": "drills take minutes, have " +
		"tests of their " +
		"own, and the nodes of the second line are those of another page",
	"drills.md: zrsd drill                                             # every scenario once, half a " +
		"minute to some " +
		"minutes": "drills take up to an hour, and have tests of their own",
	"drills.md: zrsd drill --scenario restore --archive s3://backup/app --node db2:5000 --dir /srv/scratch " +
		"--report restore.html": "it needs a store of Amazon; TestADrillRestoresAnArchive tries it with a folder",
	"drills.md: zrsd drill --primary db1:5001 --secondary db2:5001,db3:5001 --zeo " +
		"db1:8100,db2:8100,db3:8100": "as above",
	"installing.md: apt install ./zrsd_0.9.0-1_amd64.deb        # or: dnf install " +
		"./zrsd-0.9.0-1.x86_64.rpm": "apt and " +
		"systemd: make packages tries it in a throwaway system",
	"installing.md: python3 -m venv env": "pip: make wheel tries it",
	"installing.md: docker build -f packaging/container/Dockerfile --build-arg VERSION=v0.9.0 -t zrsd " +
		".": "docker: make " +
		"container tries it",
	"installing.md: helm install zodb packaging/helm/zrsd --namespace plone --set " +
		"image.repository=REGISTRY/zrsd,image.tag=" +
		"v0.9.0": "helm: make helm tries it",
	"operations.md: $ zrsd status --cluster db1:5001": "it shows an answer of a cluster, and status " +
		"--cluster is run for " +
		"failover.md",
	"operations.md: etcd …                                    # once: three or five members, on machines " +
		"of their own " +
		"where that is possible": "etcd: TestTheCoordinator… runs such a cluster",
	"operations.md: 30 3 * * 0  zodb  zrsd pack /srv/zodb/admin --days 7": "a line of a crontab",
	"quick-start.md: zrsd primary … --replicate-to :5000 --insecure-plain-text": "it stands for the " +
		"commands above it, " +
		"with other options",
	"migrating-from-zc-zrs.md: zrsd config check zrsd.conf": "its file is the sample above it, which " +
		"TestTheConfigurationsOfThePagesAreRightAsWritten loads",
}

var (
	fencedBlock = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```")
	commandLine = regexp.MustCompile(`(?m)^\s*(?:\S*\$ )?(?:zrsd|apt|curl|docker|etcd|etcdctl|helm|kubectl|make|` +
		`openssl|pip|python3|systemctl|\S+=\S* zrsd|\d[*\d/ ]* \S+ +zrsd) `)
)

// docBlocks returns the blocks of the pages that have commands.
func docBlocks(t *testing.T) (list []docBlock) {
	t.Helper()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fencedBlock.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "sh" || m[1] == "console" || (m[1] == "" && commandLine.MatchString(m[2])) {
				list = append(list, docBlock{filepath.Base(page), m[2]})
			}
		}
	}
	return list
}

// Every block of commands is run by TestTheBlocksOfThePagesRunAsTheyAreWritten, or is named with a reason.
func TestEveryBlockOfThePagesIsRunOrNamed(t *testing.T) {
	var there []string
	for _, b := range docBlocks(t) {
		there = append(there, b.first())
		told := notRun[b.first()] != ""
		if run := slices.ContainsFunc(docStories, func(s docStory) bool { return s.block == b.first() }); run == told {
			t.Errorf("it has to be run, or named with a reason, not both: %s", b.first())
		}
	}
	for _, s := range docStories {
		if !slices.Contains(there, s.block) {
			t.Errorf("no page has it any more: %s", s.block)
		}
	}
	for name := range notRun {
		if !slices.Contains(there, name) {
			t.Errorf("no page has it any more: %s", name)
		}
	}
}

//go:embed docs_run.sh
var docsShell string

// What the pages tell to type works as it is written: with the same names of machines, ports and files, each story in a
// network and a folder of its own.
func TestTheBlocksOfThePagesRunAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("unshare", "-rmn", "true").CombinedOutput(); err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatalf("no network of its own can be made: %v: %s", err, out)
		}
		t.Skipf("no network of its own can be made, which the commands need to be run as written: %v: %s", err, out)
	}
	blocks := map[string]string{}
	for _, b := range docBlocks(t) {
		blocks[b.first()] = b.text
	}
	fixture, err := filepath.Abs("../testdata/filestorage")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(docStories); {
		first, script := docStories[i], docsShell
		for begun := i; i < len(docStories) && (i == begun || docStories[i].goOn); i++ {
			s := docStories[i]
			script += s.before + blocks[s.block] + "\n" + s.after + "\n"
		}
		t.Run(first.block, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(within(t), "unshare", "-rmnpf", "--mount-proc", "--kill-child",
				"bash", "-euo", "pipefail", "-c", script)
			cmd.Dir, cmd.WaitDelay = newSite(t, false).dir, 10*time.Second
			cmd.Env = append(os.Environ(), "ZRSD="+zrsd, "FIXTURES="+fixture, "HOME="+cmd.Dir)
			out, err := cmd.CombinedOutput()
			if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
