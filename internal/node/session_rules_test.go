package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A storage is opened again where that may help. A primary that has lost its storage ends: it must not lead again by
// itself, when another node may have taken its place. What is damaged, or was moved, stays as it is.
func TestWhichStorageIsOpenedAgain(t *testing.T) {
	failed := &filestorage.FailedError{Path: "Data.fs", Cause: errors.New("failed")}
	start := &StartError{Err: errors.New("the disk is full")}
	for name, c := range map[string]struct {
		ran, led bool
		err      error
		again    bool
	}{
		"one that failed":                   {true, false, fmt.Errorf("a transaction: %w", failed), true},
		"one that could not be opened then": {true, false, start, true},
		"one that was never open":           {false, false, start, false},
		"that of a primary":                 {true, true, failed, false},
		"one that is damaged": {
			true, false, &StartError{Err: new(zodb.CorruptError)}, false,
		},
		"one that was moved": {
			true, false, &filestorage.FailedError{Cause: new(filestorage.DisplacedError)}, false,
		},
		"one that ended":           {true, false, nil, false},
		"one with another trouble": {true, false, errors.New("no address"), false},
	} {
		n := &replicated{ran: c.ran, led: c.led}
		if n.reopens(c.err) != c.again {
			t.Errorf("%s: it is opened again: %v", name, n.reopens(c.err))
		}
	}
}

// A primary that finds no data file, and knows of other nodes, says how to get the data back.
func TestWhatAPrimaryWithoutDataSays(t *testing.T) {
	missing := &StartError{Err: fmt.Errorf("opening Data.fs: %w", fs.ErrNotExist)}
	others := addresses(t, "b:1")
	for name, c := range map[string]struct {
		starts state.Role
		others []endpoint.Endpoint
		err    error
		says   bool
	}{
		"a primary that knows of others": {state.RolePrimary, others, missing, true},
		"one that knows of none":         {state.RolePrimary, nil, missing, false},
		"a secondary":                    {state.RoleSecondary, others, missing, false},
		"another trouble":                {state.RolePrimary, others, errors.New("full"), false},
	} {
		s := &session{replicated: &replicated{starts: c.starts, cfg: SecondaryConfig{ReplicateFrom: c.others}}}
		err := s.lost(c.err)
		if !errors.Is(err, c.err) || strings.Contains(err.Error(), "start it with zrsd secondary") != c.says {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func addresses(t *testing.T, list ...string) (all []endpoint.Endpoint) {
	t.Helper()
	for _, addr := range list {
		e, err := endpoint.Parse(addr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// Others connect where the configuration says, or else where the node listens: under its own name where it listens at
// all addresses.
func TestWhereANodeIsReached(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	at := &net.TCPAddr{IP: net.IPv4zero, Port: 7000}
	for to, want := range map[string]string{
		":0": net.JoinHostPort(name, "7000"), "0.0.0.0:0": net.JoinHostPort(name, "7000"),
		"127.0.0.1:0": "127.0.0.1:7000", "db1:0": "db1:7000",
	} {
		c := Config{ReplicateTo: addresses(t, to)[0]}
		if got := c.reachable(at); got != want {
			t.Errorf("%s: at %q, want %q", to, got, want)
		}
		c.Advertise = addresses(t, "outside:9")[0]
		if got := c.reachable(at); got != "outside:9" {
			t.Errorf("%s: at %q, and it is advertised elsewhere", to, got)
		}
	}
	c := Config{ReplicateTo: addresses(t, "/run/zrsd")[0]}
	if got := c.reachable(&net.UnixAddr{Name: "/run/zrsd", Net: "unix"}); got != "/run/zrsd" {
		t.Errorf("a socket: at %q", got)
	}
}

// An interrupted rewind sets the blobs of this node aside, and none of the primary's.
func TestWhoseBlobsARewindSetsAside(t *testing.T) {
	for _, shared := range []bool{false, true} {
		c := Config{Data: "Data.fs", Blobs: "blobs", SharedBlobs: shared}
		if s := c.rewound(); s.BlobsElsewhere != shared || (s.Blobs == "blobs") == shared || s.Data != "Data.fs" {
			t.Errorf("shared %v: %+v", shared, s)
		}
	}
}

// How far a long scan is, is shown and logged every five seconds.
func TestHowFarAScanIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &out})}
		f := newNodeStatus(rolePrimary, &c)
		tell := c.progress(f)
		for done := range int64(13) { // seconds
			tell(done, 12<<20)
			tell(0, 0)
			pause.For(t.Context(), time.Second)
		}
		if got := strings.Count(out.String(), "rebuilding the index: 0 % of 12 MiB"); got != 2 {
			t.Errorf("it logs %s", out.String())
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if !strings.Contains(f.phase, "rebuilding the index: 0 %") {
			t.Errorf("it shows %q", f.phase)
		}
	})
}
