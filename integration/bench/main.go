package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/zrsd/zrsd/internal/daemon"
)

// A bench is one run.
type bench struct {
	zrsd   string  // the binary
	dir    string  // on the disk to measure
	zrs    string  // a Python that has zc.zrs; empty: none
	zeo    string  // a Python that has ZEO; empty: none
	zeo5   string  // a Python that has ZEO 5; empty: none
	tools  string  // a Python that has zodbupdate; empty: none
	scale  float64 // of every set
	runs   int     // of each figure; the median counts
	report *report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	b := &bench{report: newReport()}
	var parent, out, only string
	flag.StringVar(&b.zrsd, "zrsd", "", "zrsd binary (default: build one)")
	flag.StringVar(&parent, "dir", "", "folder on the disk to measure (default: the temporary folder)")
	flag.StringVar(&b.zrs, "zrs", ".venv/zrs/bin/python", "Python interpreter that has zc.zrs")
	flag.StringVar(&b.zeo, "zeo", ".venv/zodb/bin/python", "Python interpreter that has ZEO")
	flag.StringVar(&b.zeo5, "zeo5", ".venv/zeo5/bin/python", "Python interpreter that has ZEO 5")
	flag.StringVar(&b.tools, "tools", ".venv/tools/bin/python", "Python interpreter that has zodbupdate")
	flag.Float64Var(&b.scale, "scale", 1, "size of all data sets, 1 for the reference")
	flag.IntVar(&b.runs, "runs", 3, "how often each figure is measured; the median counts")
	flag.StringVar(&out, "out", "bin/bench", "where to write the report, without .json and .md")
	flag.StringVar(&only, "only", "", "regular expression: measure only sections whose name matches")
	flag.Parse()
	if b.dir, err = os.MkdirTemp(parent, "zrsd-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if err := b.measure(ctx, pattern); err != nil {
		return err
	}
	b.report.print(os.Stdout)
	return b.report.save(out)
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.zrsd == "" {
		if b.zrsd, err = daemon.Build(ctx, ".", b.dir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(b.zrs); err != nil {
		fmt.Fprintln(os.Stderr, "no zc.zrs to compare with: run sh integration/venv.sh zrs")
		b.zrs = ""
	}
	if _, err := os.Stat(b.zeo5); err != nil {
		fmt.Fprintf(os.Stderr, "ZEO 5 is not measured: %v\n", err)
		b.zeo5 = ""
	}
	if _, err := os.Stat(b.tools); err != nil {
		fmt.Fprintln(os.Stderr, "no zodbupdate and fsrefs to compare with: run sh integration/venv.sh tools")
		b.tools = ""
	}
	if _, err := os.Stat(b.zeo); err != nil {
		fmt.Fprintln(os.Stderr, "no runzeo to compare with: run sh integration/venv.sh zodb")
		b.zeo = ""
	}
	return b.report.machine(b.dir, b.scale, b.runs)
}

// A section measures figures that belong together. What it leaves in its folder is discarded.
type section struct {
	name    string
	measure func(b *bench, ctx context.Context, dir string) error
}

var sections = []section{
	{"set 1: catching up, 5 records of 4.8 KB per transaction", (*bench).set1},
	{"set 2: catching up, one small record per transaction", (*bench).set2},
	{"set 3: catching up, blobs", (*bench).set3},
	{"large: one large record and one large blob", (*bench).large},
	{"seed: an empty secondary takes the data file as it is", (*bench).seed},
	{"seed, far away: over round trips of 50 and 200 ms", (*bench).seedAfar},
	{"seed, beside commits: one client that writes", (*bench).seedBeside},
	{"zc.zrs: catching up over its protocol", (*bench).zrsProtocol},
	{"distance: a round trip of 50 ms", (*bench).distance},
	{"live: commit to visible at 200 transactions/s", (*bench).live},
	{"resume: 1,000 transactions behind", (*bench).resume},
	{"open: a million objects", (*bench).open},
	{"verify: a pass over a file, and two nodes that are equal", (*bench).verify},
	{"zeo loads: 16 clients with 8 loads of 4 KB in flight", (*bench).zeoLoads},
	{"zeo commits: two objects of 1 KB", (*bench).zeoCommits},
	{"zeo pack: a file of which half is garbage, beside 400 commits/s", (*bench).zeoPack},
	{"zeo idle: 1,000 clients that only listen", (*bench).zeoIdle},
	{"failover: switchover under 500 commits/s of 50 clients", (*bench).switchovers},
	{"failover: promotion when the primary is killed", (*bench).promotions},
	{"failover: real ZEO clients when the primary is killed and stays away", (*bench).realClients},
	{"failover: commits that wait for one secondary", (*bench).waiting},
	{"failover: rewinding 1,000 transactions in a file of 2 GB", (*bench).rewinding},
	{"zeo blobs: one large blob to and from a client", (*bench).zeoBlobs},
	{"time: an archive of two objects of 1 KB per transaction", (*bench).archive},
	{"time: 16 clients with 8 loads of 4 KB in flight, as of a moment", (*bench).asOf},
	{"time: repozo", (*bench).repozo},
	{"time: a feed", (*bench).feed},
	{"blob cache: one blob to a client", (*bench).blobCache},
	{"inside: classes and references of a million objects", (*bench).inside},
}

func (b *bench) measure(ctx context.Context, only *regexp.Regexp) error {
	for _, s := range sections {
		if !only.MatchString(s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "\n== %s\n", s.name)
		b.report.begin(s.name)
		dir, err := os.MkdirTemp(b.dir, "")
		if err != nil {
			return err
		}
		if err := errors.Join(s.measure(b, ctx, dir), discard(dir)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
