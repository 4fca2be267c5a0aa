package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
)

// zrsPair is the script that runs either side of a zc.zrs pair.
const zrsPair = "integration/bench/zrs_pair.py"

// zrsShare is how much of set 1 the pair of zc.zrs processes gets, to be done in reasonable time.
const zrsShare = 0.1

// versusZRS lets a pair of zc.zrs processes do a part of set 1 and compares the time per transaction with that of
// zrsd.
func (b *bench) versusZRS(ctx context.Context, zrsdPerTxn float64) error {
	if b.zrs == "" {
		return nil
	}
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	set := b.firstSet()
	set.Transactions = max(1, int(float64(set.Transactions)*zrsShare))
	s, err := generate(ctx, dir, set)
	if err != nil {
		return err
	}
	took, err := b.zrsCatchUp(ctx, s)
	if err != nil {
		return err
	}
	perTxn := took.Seconds() / float64(s.txns)
	b.report.add("zc.zrs 3.1.0, a tenth of the set", mb(s.bytes, took), "MB/s")
	b.report.add("zc.zrs 3.1.0", 1/perTxn, "transactions/s")
	b.report.add("zrsd", 1/zrsdPerTxn, "transactions/s")
	b.report.atLeast("zrsd in units of zc.zrs", perTxn/zrsdPerTxn, "times", 10)
	return os.RemoveAll(dir)
}

// zrsCatchUp runs a zc.zrs primary on the source and a zc.zrs secondary, and returns how long the secondary took from
// its first connection to the last tid.
func (b *bench) zrsCatchUp(ctx context.Context, s *source) (time.Duration, error) {
	addr, stop, err := b.zrsServe(ctx, s)
	if err != nil {
		return 0, err
	}
	defer stop()
	return b.zrsFollow(ctx, s, addr)
}

// zrsServe runs a zc.zrs primary on the source until stop is called.
func (b *bench) zrsServe(ctx context.Context, s *source) (addr string, stop func(), err error) {
	if addr, err = endpoint.FreeAddress(ctx); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	primary := exec.CommandContext(ctx, b.zrs, zrsPair, "primary", s.data, s.blobs, addr)
	out, err := primary.StdoutPipe()
	if err == nil {
		err = primary.Start()
	}
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("zc.zrs primary: %w", err)
	}
	stop = func() {
		cancel()
		_ = primary.Wait() // killed
	}
	if ready := bufio.NewScanner(out); !ready.Scan() {
		stop()
		return "", nil, errors.New("the zc.zrs primary did not start")
	}
	return addr, stop, nil
}

// zrsFollow lets a zc.zrs secondary get all of s from addr, removes its files and returns how long it took.
func (b *bench) zrsFollow(ctx context.Context, s *source, addr string) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return 0, err
	}
	blobs := ""
	if s.blobs != "" {
		blobs = filepath.Join(dir, "blobs")
	}
	data := filepath.Join(dir, "Data.fs")
	secondary := exec.CommandContext(ctx, b.zrs, zrsPair, "secondary", data, blobs, addr, s.last.String())
	secondary.Stderr = os.Stderr
	text, err := secondary.Output()
	if err != nil {
		return 0, fmt.Errorf("zc.zrs secondary: %w", err)
	}
	var answer struct{ Seconds float64 }
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("zc.zrs secondary: %w in %s", err, text)
	}
	return time.Duration(answer.Seconds * float64(time.Second)), os.RemoveAll(dir)
}
