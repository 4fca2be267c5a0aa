package integration

import (
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A load is a primary and its secondary with real ZEO clients that write and read all the time, on few objects.
type load struct {
	random    *rand.Rand
	primary   *machine
	secondary *machine
	setup     *loadClient // which has made the objects
	clients   []*loadClient
	packed    float64 // time of the last pack, in seconds since 1970
}

// TestNoClientUnderLoadEverSeesAStateThatNeverWas kills servers and packs while the clients work. In the end everything
// that a client was ever told is compared with the history, which the secondary has: it is never packed.
func TestNoClientUnderLoadEverSeesAStateThatNeverWas(t *testing.T) {
	t.Parallel()
	l := &load{random: seededRand(t), primary: newMachine(t, "primary"), secondary: newMachine(t, "secondary")}
	l.serve(t, l.primary, nil)
	l.serve(t, l.secondary, l.primary)
	l.connect(t)
	incidents := []struct {
		name   string
		happen func(*testing.T)
	}{
		{"pack", l.pack},
		{"kill -9 of the primary", l.killPrimary},
		{"kill -9 of the secondary", l.killSecondary},
		{"kill -9 of the primary in a pack", l.killPackingPrimary},
	}
	for round := range rounds(2) {
		for _, incident := range incidents {
			moment(within(t), l.random, 2*time.Second)
			t.Logf("round %d: %s", round, incident.name)
			incident.happen(t)
			l.progress(t)
		}
	}
	l.variety(t)
	l.pack(t)
	l.progress(t)
	l.end(t)
	l.judge(t)
}

// serve runs zrsd on a machine, as the primary or as a secondary of from.
func (l *load) serve(t *testing.T, m, from *machine) {
	t.Helper()
	monitor := filepath.Join(m.dir, "admin")
	m.write(t, "zrsd.conf", "%import zc.zrs\n<zeo>\n  address "+m.zeo+"\n</zeo>\n<admin>\n  address "+monitor+
		"\n</admin>\n"+m.zrs(from, ""))
	m.run(t, monitor, zrsd, "serve", "-C", "zrsd.conf")
}

// pack packs the primary to a time up to which the secondary has everything.
func (l *load) pack(t *testing.T) {
	t.Helper()
	packer := l.packer(t)
	packer.answer(t, l.beginPack(t, packer))
	packer.close(t)
}

func (l *load) packer(t *testing.T) *pyProcess {
	t.Helper()
	return startPython(t, "zodb", "zeo_pack.py", l.primary.zeo)
}

func (l *load) beginPack(t *testing.T, packer *pyProcess) (command string) {
	t.Helper()
	last := l.primary.last(t)
	l.secondary.reach(t, last)
	l.packed = float64(last.Time().Add(-time.Millisecond).UnixMicro()) / 1e6
	command = "pack " + strconv.FormatFloat(l.packed, 'f', -1, 64)
	packer.begin(t, command)
	return command
}

func (l *load) killPrimary(t *testing.T) {
	t.Helper()
	l.primary.kill(t)
	moment(within(t), l.random, time.Second)
	l.serve(t, l.primary, nil)
}

func (l *load) killSecondary(t *testing.T) {
	t.Helper()
	l.secondary.kill(t)
	moment(within(t), l.random, time.Second)
	l.serve(t, l.secondary, l.primary)
}

func (l *load) killPackingPrimary(t *testing.T) {
	t.Helper()
	packer := l.packer(t)
	command := l.beginPack(t, packer)
	moment(within(t), l.random, 100*time.Millisecond)
	l.killPrimary(t)
	packer.answer(t, command)
	packer.close(t)
}

// end stops the clients, and the servers when both have all.
func (l *load) end(t *testing.T) {
	t.Helper()
	for _, c := range l.clients {
		c.close(t)
	}
	l.secondary.reach(t, l.primary.last(t))
	l.secondary.stop(t)
	l.primary.stop(t)
}

// kill ends everything that runs on the machine at once.
func (m *machine) kill(t *testing.T) {
	t.Helper()
	for _, p := range m.programs {
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
	}
	m.programs = nil
}

// last returns the last transaction that the machine shows.
func (m *machine) last(t *testing.T) (tid zodb.Tid) {
	t.Helper()
	m.await(t, "answers", func(last zodb.Tid) bool {
		tid = last
		return true
	})
	return tid
}
