package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/nagios"
	"github.com/zrsd/zrsd/zodb"
)

// A machine is where one server of an installation lives: its files, and the addresses that its clients and its
// secondaries know. What runs there changes, the files and addresses stay.
type machine struct {
	*site
	name string
	zeo  string // address for clients
	to   string // address for secondaries

	programs []*program
	monitor  string // address that tells the last transaction
}

// A program is a process that runs on a machine.
type program struct {
	cmd   *exec.Cmd
	ended chan error
	log   strings.Builder
}

func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	m := &machine{site: newSite(t, true), name: name, zeo: freeAddress(t), to: freeAddress(t)}
	t.Cleanup(func() {
		for _, p := range m.programs {
			_ = p.cmd.Process.Kill() // it may have ended already
			<-p.ended
			if t.Failed() {
				t.Logf("machine %s: log of %q:\n%s", name, p.cmd.Args, &p.log)
			}
		}
	})
	return m
}

// runPython runs what the machine had before: runzeo with zc.zrs, as a primary or as a secondary of from.
func (m *machine) runPython(t *testing.T, from *machine) {
	t.Helper()
	m.write(t, "zeo.conf", "%import zc.zrs\n<zeo>\n  address "+m.zeo+"\n</zeo>\n"+m.zrs(from, ""))
	m.runzeo(t)
}

// runZrsd runs zrsd on the same files at the same addresses, for clients and secondaries. A secondary has the <zrs>
// section that it had and asks for the protocol of zc.zrs, which is the way back.
func (m *machine) runZrsd(t *testing.T, from *machine) {
	t.Helper()
	m.runZrsdBy(t, from, "protocol zrs2")
}

// runAttached leaves runzeo to the clients, without zc.zrs, and lets zrsd replicate what it writes.
func (m *machine) runAttached(t *testing.T, _ *machine) {
	t.Helper()
	const storage = "<filestorage>\n  path Data.fs\n  blob-dir blobs\n</filestorage>\n"
	m.write(t, "zeo.conf", "<zeo>\n  address "+m.zeo+"\n</zeo>\n"+storage)
	m.runzeo(t)
	monitor := filepath.Join(m.dir, "admin")
	args := append([]string{"primary", "--attach", "--replicate-to", m.to, "--admin", monitor}, m.flags()...)
	m.run(t, monitor, zrsd, args...)
}

// runNative is runZrsd for a secondary that speaks the native protocol, and takes the identity of its primary.
func (m *machine) runNative(t *testing.T, from *machine) {
	t.Helper()
	if err := os.Remove(m.data + ".zrsd"); err != nil {
		t.Fatal(err)
	}
	m.runZrsdBy(t, from, "protocol native")
}

func (m *machine) runZrsdBy(t *testing.T, from *machine, protocol string) {
	t.Helper()
	if from == nil {
		protocol = "" // a primary speaks what its secondaries speak
	}
	monitor := filepath.Join(m.dir, "admin")
	m.write(t, "zrsd.conf", "%import zc.zrs\n<admin>\n  address "+monitor+"\n</admin>\n"+
		"<zeo>\n  address "+m.zeo+"\n</zeo>\n"+m.zrs(from, protocol))
	m.run(t, monitor, zrsd, "serve", "-C", "zrsd.conf")
}

// zrs is the <zrs> section of a primary, or of a secondary of from.
func (m *machine) zrs(from *machine, key string) string {
	replicateFrom := ""
	if from != nil {
		replicateFrom = "replicate-from " + from.to
	}
	return fmt.Sprintf(`<zrs>
  replicate-to %s
  %s
  %s
  <filestorage>
    path Data.fs
    blob-dir blobs
  </filestorage>
</zrs>
`, m.to, replicateFrom, key)
}

func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) runzeo(t *testing.T) {
	t.Helper()
	m.run(t, m.zeo, filepath.Join(filepath.Dir(interpreter(t, "zrs")), "runzeo"), "-C", "zeo.conf")
}

// run starts a program and waits until it answers at the address monitor, as ZEO servers and zrsd do.
func (m *machine) run(t *testing.T, monitor, name string, args ...string) {
	t.Helper()
	p := &program{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)}
	p.cmd.Dir, p.cmd.Stderr = m.dir, &p.log
	p.ended = make(chan error, 1)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.ended <- p.cmd.Wait()
		close(p.ended)
	}()
	m.programs = append(m.programs, p)
	m.monitor = monitor
	m.await(t, "answers", func(zodb.Tid) bool { return true })
}

// stop ends everything that runs, in order, as an operator does.
func (m *machine) stop(t *testing.T) {
	t.Helper()
	ctx := within(t)
	for _, p := range m.programs {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-p.ended:
			if err != nil {
				t.Fatalf("machine %s: %q: %v", m.name, p.cmd.Args, err)
			}
		case <-ctx.Done():
			t.Fatalf("machine %s: %q does not stop: %v", m.name, p.cmd.Args, context.Cause(ctx))
		}
	}
	m.programs = nil
}

// reach waits until the machine shows tid.
func (m *machine) reach(t *testing.T, tid zodb.Tid) {
	t.Helper()
	m.await(t, "has "+tid.String(), func(last zodb.Tid) bool { return last >= tid })
}

// await asks for the last transaction as a monitor does, until cond holds for it.
func (m *machine) await(t *testing.T, what string, cond func(last zodb.Tid) bool) {
	t.Helper()
	e, err := endpoint.Parse(m.monitor)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		storages, err := nagios.Ask(ctx, e.Dial)
		if err == nil && cond(storages["1"]) {
			return
		}
		select {
		case <-tick.C:
		case err := <-m.programs[len(m.programs)-1].ended:
			t.Fatalf("machine %s ended before it %s: %v", m.name, what, err)
		case <-ctx.Done():
			t.Fatalf("machine %s never %s: %v (%v)", m.name, what, context.Cause(ctx), err)
		}
	}
}
