package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zrsd": main, runzeoName: main})
}

// patience ends every wait of a script; a healthy run never comes near it.
const patience = 5 * time.Minute

// Each script is one story. Beside the commands of testscript there are:
//
//	code N command…       run it and expect the exit code N
//	fixture NAME DIR      copy a fixture into a new folder
//	await ADDR REGEXP     wait until the status document of the node matches
//	awaitlog FILE REGEXP  wait until the log matches
//	signal SIG Data.fs    send a signal to the process that holds the lock of that file
//	patch FILE POS HEX    overwrite bytes
//	commit Data.fs N      commit a transaction with a record of N bytes to a storage that no process has open
//
// $CERTS is a folder with certificates: see certificates. $SITE is one with site.fs and catalog.fs.
func TestScripts(t *testing.T) {
	certs := certificates(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CERTS", certs)
			env.Setenv("RUN", strconv.Itoa(os.Getpid()))
			env.Setenv("SITE", mustAbs("../../internal/inside/testdata"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": runCode, "fixture": copyFixture, "await": await,
			"awaitlog": awaitLog, "signal": sendSignal, "patch": patchFile, "commit": commit,
		},
	})
}

// certificates makes, in a new folder, what scripts about TLS need: db1, db2 and a later db1 of the authority ca, and
// stranger of the authority other; each with the endings .crt and .key, the authorities with .pem.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca, other := tlsauthtest.NewAuthority(t, dir, "ca"), tlsauthtest.NewAuthority(t, dir, "other")
	for _, name := range []string{"db1", "db2", "db1-later"} {
		ca.Issue(t, name)
	}
	ca.Issue(t, "old", tlsauthtest.Expired)
	other.Issue(t, "stranger")
	return dir
}

func need(ts *testscript.TestScript, neg bool, args []string, usage string) {
	if neg || len(args) != len(strings.Fields(usage))-1 {
		ts.Fatalf("usage: %s", usage)
	}
}

func runCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

var fixtureRoot = mustAbs("../../testdata/filestorage")

func mustAbs(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

func copyFixture(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "fixture NAME DIR")
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(filepath.Join(fixtureRoot, args[0]))))
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "await ADDR REGEXP")
	addr := args[0]
	if strings.Contains(addr, "/") {
		addr = ts.MkAbs(addr)
	}
	e, err := endpoint.Parse(addr)
	ts.Check(err)
	want := regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, _, err := admin.Fetch(ctx, e.Dial, "")
		if err == nil && want.Match(raw) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the status of %s never matched %s; last answer: %s, %v", addr, want, raw, err)
		}
	}
}

func awaitLog(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "awaitlog FILE REGEXP")
	want := regexp.MustCompile(args[1])
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if log, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && want.Match(log) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("the log never matched %s: %s", want, ts.ReadFile(args[0]))
		}
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "signal SIG Data.fs")
	sig, known := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "USR2": syscall.SIGUSR2, "HUP": syscall.SIGHUP,
	}[args[0]]
	if !known {
		ts.Fatalf("signal %s is not known here", args[0])
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1] + ".lock")))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, sig))
}

func patchFile(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "patch FILE POS HEX")
	var pos int64
	var bytes []byte
	_, err := fmt.Sscanf(args[1]+" "+args[2], "%d %x", &pos, &bytes)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(bytes, pos)
	ts.Check(errors.Join(err, f.Close()))
}

func commit(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "commit Data.fs N")
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx := context.Background()
	st, err := filestorage.Open(ctx, ts.MkAbs(args[0]), filestorage.Options{MustExist: true})
	ts.Check(err)
	txn, err := st.Begin(ctx, &zodb.TxnMeta{})
	if err == nil {
		err = txn.Store(1, 0, make([]byte, size))
	}
	if err == nil {
		_, err = txn.Finish(ctx, nil)
	}
	ts.Check(errors.Join(err, st.Close()))
}
