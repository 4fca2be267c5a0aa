package zeo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// Whatever clients call in whatever order: each call is answered as a list of revisions with one lock would, a commit
// is acknowledged if and only if that allows it, and nothing else changes anything. At the end the lock is free.

func TestWhateverClientsCallTheServerIsAListOfRevisionsWithALock(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		program := make([]byte, 4*rapid.IntRange(1, 300).Draw(r, "steps"))
		var seed [32]byte // all bytes alike: what rapid prefers would begin and hardly ever commit
		binary.BigEndian.PutUint64(seed[:], rapid.Uint64().Draw(r, "seed"))
		if _, err := rand.NewChaCha8(seed).Read(program); err != nil {
			r.Fatal(err)
		}
		if err := perform(t, program); err != nil {
			r.Fatal(err)
		}
	})
}

func FuzzVote(f *testing.F) {
	for _, program := range [][]byte{
		{0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0, 0, 9, 0, 0},                                       // store
		{0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0, 1, 0, 0, 0, 1, 1, 0, 2, 1, 8, 0, 0, 0, 9, 0, 0},   // another waits
		{2, 0, 0, 0, 2, 4, 0, 0, 2, 5, 0, 0, 2, 6, 2, 0, 2, 8, 0, 0, 2, 9, 0, 0},               // a blob
		{1, 0, 0, 0, 1, 7, 0, 0, 1, 8, 0, 0, 1, 9, 0, 0, 1, 0, 0, 0, 1, 3, 0, 2, 1, 8, 0, 0},   // undo, delete
		{0, 0, 0, 0, 0, 2, 1, 2, 0, 8, 0, 0, 0, 11, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 1, 10, 0, 0}, // vanish, abort
	} {
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if err := perform(t, program[:min(len(program), 1200)]); err != nil {
			t.Fatal(err)
		}
	})
}

// perform runs a program: four bytes are who does what, to which object, and with which of its revisions.
func perform(t *testing.T, program []byte) error {
	t.Helper()
	w := newWorld(t)
	defer w.shut()
	m := newModel(w)
	calls := []func(*actor, zodb.Oid, byte) error{
		m.begin, m.store, m.check, m.delete, m.blobStart, m.blobChunk, m.blobEnd, m.undo, m.vote, m.finish, m.abort,
		m.vanish, m.restore, m.store, m.store, m.vote, m.vote, m.finish, m.finish,
	}
	for ; len(program) >= 4; program = program[4:] {
		m.step++
		a := m.actors[int(program[0])%len(m.actors)]
		n := int(program[1]) % len(calls)
		if a.handle == nil && program[3]%8 != 7 {
			n = 0 // without a transaction most calls are only refused
		}
		if err := calls[n](a, zodb.Oid(program[2]%4+1), program[3]); err != nil {
			return fmt.Errorf("step %d, call %d: %w", m.step, n, err)
		}
	}
	for _, a := range m.actors {
		if err := m.vanish(a, 0, 0); err != nil {
			return err
		}
	}
	p := m.enter(wire.Z5)
	tid := p.commit(77, 0, "the lock is free")
	m.objects[77] = []revision{{tid: tid, data: "the lock is free"}}
	m.txns = append(m.txns, written{tid, []zodb.Oid{77}})
	return m.compare()
}

// does calls a method, which has to succeed or not, and returns the answer.
func (m *model) does(a *actor, succeeds bool, method string, args ...pickle.Value) (pickle.Value, error) {
	answer := a.answer(a.send(0, method, args...))
	if (answer.Flag == 0) != succeeds {
		return nil, fmt.Errorf("%s%v is answered with %v", method, args, answer.Args)
	}
	return answer.Args, nil
}

// name is one of two that a client may use for its transaction: mostly the right one.
func (a *actor) name(pick byte) pickle.Value {
	if pick < 240 && a.handle != nil {
		return a.handle
	}
	return handle + int64(pick%2)
}

func (m *model) begin(a *actor, _ zodb.Oid, pick byte) error {
	name := handle + int64(pick%2)
	free := a.handle == nil
	_, err := m.does(a, free || a.handle == pickle.Value(name), "tpc_begin", name, pickle.Bytes("u"), pickle.Bytes("d"),
		&pickle.Dict{}, nil, " ")
	if free {
		a.handle = name
	}
	return err
}

// buffers calls a method that has to be buffered, or refused.
func (m *model) buffers(a *actor, pick byte, op intent, method string, args ...pickle.Value) error {
	name := a.name(pick)
	fits := a.handle != nil && name == a.handle && m.holder != a && m.waiter != a
	if fits && slices.ContainsFunc(a.ops, func(o intent) bool { return !o.goesWith(op) }) {
		return nil // what the model does not know
	}
	upload := method == "storeBlobEnd"
	fits = fits && (!upload || a.blob != nil)
	if _, err := m.does(a, fits, method, append(args, name)...); err != nil || !fits {
		return err
	}
	if upload {
		op.blob, a.blob = a.blob, nil
	}
	at := slices.IndexFunc(a.ops, op.replaces)
	if at < 0 {
		a.ops = append(a.ops, op)
		return nil
	}
	if op.blob == nil {
		op.blob = a.ops[at].blob
	}
	a.ops[at] = op
	return nil
}

// goesWith reports whether the model knows what two calls do in one transaction: not two kinds of changes of an object.
func (op intent) goesWith(other intent) bool {
	if op.kind == checking || other.kind == checking {
		return true
	}
	return op.kind != undoing && other.kind != undoing && (op.oid != other.oid || op.replaces(other))
}

func (op intent) replaces(other intent) bool {
	return op.kind == storing && other.kind == storing && op.oid == other.oid
}

func (m *model) store(a *actor, oid zodb.Oid, pick byte) error {
	op := intent{kind: storing, oid: oid, serial: m.serial(oid, pick), data: fmt.Sprintf("written in step %d", m.step)}
	if slices.ContainsFunc(a.ops, func(o intent) bool { return o.oid == oid && o.blob != nil }) {
		op.data = blobRecord // it stays the record of a blob
	}
	return m.buffers(a, pick, op, "storea", oidValue(oid), tidValue(op.serial), pickle.Bytes(op.data))
}

func (m *model) check(a *actor, oid zodb.Oid, pick byte) error {
	op := intent{kind: checking, oid: oid, serial: m.serial(oid, pick)}
	return m.buffers(a, pick, op, "checkCurrentSerialInTransaction", oidValue(oid), tidValue(op.serial))
}

func (m *model) delete(a *actor, oid zodb.Oid, pick byte) error {
	op := intent{kind: deleting, oid: oid, serial: m.serial(oid, pick)}
	return m.buffers(a, pick, op, "deleteObject", oidValue(oid), tidValue(op.serial))
}

func (m *model) undo(a *actor, _ zodb.Oid, pick byte) error {
	op := intent{kind: undoing, serial: 4711}
	if n := int(pick % 8); n < len(m.txns) {
		op.serial = m.txns[len(m.txns)-1-n].tid
	}
	return m.buffers(a, pick, op, "undoa", undoID(op.serial))
}

// restore is only tried: what it does is for copies of storages.
func (m *model) restore(a *actor, oid zodb.Oid, _ byte) error {
	_, err := m.does(a, false, "restorea", oidValue(oid), tidValue(1), pickle.Bytes("x"), nil, handle+2)
	return err
}

func (m *model) blobStart(a *actor, _ zodb.Oid, _ byte) error {
	free := a.blob == nil
	if free {
		a.blob = new(string)
	}
	_, err := m.does(a, free, "storeBlobStart")
	return err
}

func (m *model) blobChunk(a *actor, _ zodb.Oid, _ byte) error {
	chunk := fmt.Sprintf("chunk of step %d. ", m.step)
	if a.blob != nil {
		*a.blob += chunk
	}
	_, err := m.does(a, a.blob != nil, "storeBlobChunk", pickle.Bytes(chunk))
	return err
}

func (m *model) blobEnd(a *actor, oid zodb.Oid, pick byte) error {
	op := intent{kind: storing, oid: oid, serial: m.serial(oid, pick), data: blobRecord}
	return m.buffers(a, pick, op, "storeBlobEnd", oidValue(oid), tidValue(op.serial), pickle.Bytes(blobRecord))
}

func (m *model) vote(a *actor, _ zodb.Oid, pick byte) error {
	name := a.name(pick)
	if a.handle == nil || name != a.handle || m.holder == a || m.waiter == a {
		_, err := m.does(a, false, "vote", name)
		return err
	}
	if m.holder != nil && m.waiter != nil {
		return nil // who of two that wait comes first is nobody's business
	}
	a.vote = a.send(0, "vote", name)
	if m.holder != nil {
		m.waiter = a
		a.call("ping") // it waits
		return nil
	}
	return m.voted(a)
}

// voted compares the answer of a vote that has got the lock.
func (m *model) voted(a *actor) error {
	want := m.judge(a.ops)
	answer := a.answer(a.vote)
	if answer.Flag != 0 {
		if !want.fails && !want.mayFail {
			return fmt.Errorf("the vote is answered with %v, want %+v", answer.Args, want)
		}
		return nil
	}
	list, _ := items(answer.Args)
	var conflicts, told []zodb.Oid
	for _, v := range list {
		if d, ok := v.(*pickle.Dict); ok {
			oid, _ := d.Get("oid")
			conflicts = append(conflicts, zodb.Oid(tidIn(a.t, oid)))
		} else {
			told = append(told, zodb.Oid(tidIn(a.t, v)))
		}
	}
	if want.fails || !slices.Equal(conflicts, want.conflicts) || !slices.Equal(told, want.told) {
		return fmt.Errorf("the vote found conflicts %v and tells of %v, want %+v", conflicts, told, want)
	}
	if len(conflicts) == 0 {
		m.holder = a
	}
	return nil
}

// released lets the one who waits have the lock.
func (m *model) released() error {
	m.holder = nil
	a := m.waiter
	if a == nil {
		return nil
	}
	m.waiter = nil
	return m.voted(a)
}

func (m *model) finish(a *actor, _ zodb.Oid, pick byte) error {
	name := a.name(pick)
	if a.handle == nil || name != a.handle {
		answer, err := m.does(a, true, "tpc_finish", name)
		if err == nil && answer != nil {
			err = fmt.Errorf("tpc_finish of nothing is answered with %v", answer)
		}
		return err
	}
	answer, err := m.does(a, m.holder == a, "tpc_finish", name)
	if err != nil || m.holder != a {
		return err
	}
	m.committed(a, tidIn(a.t, answer))
	a.handle, a.ops = nil, nil
	return m.released()
}

func (m *model) abort(a *actor, _ zodb.Oid, pick byte) error {
	name := a.name(pick)
	if _, err := m.does(a, true, "tpc_abort", name); err != nil || a.handle == nil || name != a.handle {
		return err
	}
	a.blob = nil
	return m.dropped(a)
}

// vanish ends a connection in whatever it does, and begins another.
func (m *model) vanish(a *actor, _ zodb.Oid, _ byte) error {
	encoding := wire.Z5
	if a == m.actors[2] {
		encoding = wire.M5
	}
	if err := a.conn.Close(); err != nil {
		return err
	}
	a.peer, a.blob = m.enter(encoding), nil
	return m.dropped(a)
}

func (m *model) dropped(a *actor) error {
	a.handle, a.ops = nil, nil
	if m.waiter == a {
		m.waiter = nil
	}
	if m.holder == a {
		return m.released()
	}
	return nil
}
