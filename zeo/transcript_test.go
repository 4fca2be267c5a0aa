package zeo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// Conversations of real clients with the real server are held again: what the clients said is sent as it was, byte for
// byte, and the answers have to be what the real server said. The clock of the storage is set so that transactions get
// the tids that they had. Left out are conversations that begin with a database of their own, those with storages that
// are not served here, and those about conflicts, in which this server resolves more than the client is asked for.

func TestRecordedConversationsAreAnsweredAsByTheRealServer(t *testing.T) {
	for _, name := range []string{
		"abort", "blob", "commit", "connect_register", "history", "invalidation", "iterator", "pack", "read_conflict",
		"record_iternext", "register_errors", "undo", "vote_queue",
	} {
		for _, encoding := range []string{wire.Z5, wire.M5} {
			t.Run(name+" "+encoding, func(t *testing.T) { replay(t, name, encoding) })
		}
	}
}

// A line is one of a conversation, see testdata/zeo/README.md.
type line struct {
	Dir, Hex, Decoded string
	Conn              int

	raw     []byte        // without its size
	message *wire.Message // nil: not encoded
}

// is reports whether a line is a message, of one direction, that has this method.
func (l *line) is(dir, method string) bool {
	return l.Dir == dir && l.message != nil && l.message.Method == method
}

func conversation(t *testing.T, name, encoding string) (lines []*line) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "zeo", strings.ToLower(encoding), name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	codec, _ := wire.CodecFor(encoding)
	in := bufio.NewScanner(f)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		l := new(line)
		if err := json.Unmarshal(in.Bytes(), l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
		if l.Hex == "" {
			continue
		}
		raw, err := hex.DecodeString(l.Hex)
		if err != nil {
			t.Fatal(err)
		}
		l.raw = raw[wire.SizeLen:]
		l.message, _ = codec.Decode(l.raw) // some are made by hand to be undecodable
	}
	if err := in.Err(); err != nil || len(lines) < 5 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	return lines
}

// A stage is where a conversation is held again.
type stage struct {
	*site
	t     *testing.T
	codec wire.Codec
	clock atomic.Uint64 // the tid of the next transaction
	conns map[int]*voice
	spoke int // the connection that said something last; 0: none

	differs []*regexp.Regexp
}

func replay(t *testing.T, name, encoding string) {
	t.Helper()
	s := &stage{t: t, conns: make(map[int]*voice), differs: append(mayAlso[name], may...)}
	s.codec, _ = wire.CodecFor(encoding)
	disk := simdisk.New()
	opt := filestorage.Options{FS: disk, Now: func() time.Time { return timeOf(zodb.Tid(s.clock.Load())) }}
	if name == "blob" {
		if err := disk.Mkdir("blobs", 0o777); err != nil {
			t.Fatal(err)
		}
		blobs, err := blobstore.Open("blobs", blobstore.Options{FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		opt.Blobs = blobs
	}
	st, err := filestorage.Open(t.Context(), "Data.fs", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s.site = offer(t, st, Options{Msgpack: encoding == wire.M5},
		StorageOptions{Pack: filestorage.PackOptions{GC: true}})
	lines := conversation(t, name, encoding)
	for i, l := range lines {
		s.hold(l, lines[i+1:])
		if t.Failed() {
			t.Fatalf("in line %d: %s", i+1, l.Decoded)
		}
	}
}

// timeOf is a time at which a transaction gets this tid.
func timeOf(tid zodb.Tid) time.Time {
	begin := tid.Time()
	for off := range time.Duration(50) {
		for _, at := range []time.Time{begin.Add(off), begin.Add(-off)} {
			if got, err := zodb.TidFromTime(at); err == nil && got == tid {
				return at
			}
		}
	}
	return begin
}

// hold does what a line says, with those that come later.
func (s *stage) hold(l *line, later []*line) {
	s.t.Helper()
	c := s.conns[l.Conn]
	switch {
	case l.Dir == "ev" && l.Decoded == "open":
		s.open(l.Conn)
	case l.Dir == "ev" && l.Decoded == "closed by client":
		_ = c.Close()
		s.spoke = 0
	case l.Dir == "ev" && l.Decoded == "closed by server":
		(&peer{t: s.t, conn: c}).cut()
		s.spoke = 0
	case l.Dir == "c2s":
		if s.spoke != l.Conn {
			s.settle()
		}
		if l.is("c2s", "vote") {
			s.clock.Store(uint64(tidOfCommit(l.Conn, later)))
		}
		c.say(s.t, l.raw)
		s.spoke = l.Conn
	case l.Dir == "s2c":
		if c.refused(later, l) {
			return
		}
		got := c.hear(s.t)
		if m, err := s.codec.Decode(got); err == nil && l.is("s2c", "invalidateTransaction") && m.IsReply() {
			next := c.hear(s.t) // the answer to a vote may come before it
			c.heard = append([][]byte{got}, c.heard...)
			got = next
		}
		if !bytes.Equal(got, l.raw) {
			s.compare(l, got)
		}
		c.entered = c.entered || l.message != nil
	}
}

// A voice is a connection.
type voice struct {
	net.Conn
	entered bool     // it has got an answer, so it may say what is not in the conversation
	heard   [][]byte // ahead of the conversation
}

func (s *stage) open(n int) {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	s.conns[n] = &voice{Conn: conn}
}

// refused reports whether a greeting comes too late to be waited for: the client has spoken first, and is cut off.
func (c *voice) refused(later []*line, l *line) bool {
	return l.message == nil && len(later) > 0 && later[0].Conn == l.Conn && later[0].Decoded == "closed by server"
}

func (c *voice) say(t *testing.T, raw []byte) {
	t.Helper()
	if _, err := c.Write(wire.AppendRaw(nil, raw)); err != nil {
		t.Fatal(err)
	}
}

func (c *voice) hear(t *testing.T) []byte {
	t.Helper()
	if len(c.heard) > 0 {
		got := c.heard[0]
		c.heard = c.heard[1:]
		return got
	}
	got, err := wire.Read(c, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// settle lets the server come to the end of what was said last, before another connection says something.
func (s *stage) settle() {
	s.t.Helper()
	c := s.conns[s.spoke]
	if c == nil || !c.entered {
		return
	}
	ping, err := s.codec.Append(nil, &wire.Message{ID: "settled", Method: "ping", Args: pickle.Tuple{}})
	if err != nil {
		s.t.Fatal(err)
	}
	c.say(s.t, ping[wire.SizeLen:])
	for ahead := c.heard; ; {
		c.heard = nil
		got := c.hear(s.t)
		if m, err := s.codec.Decode(got); err == nil && m.ID == "settled" {
			c.heard = ahead
			return
		}
		ahead = append(ahead, got)
	}
}

// tidOfCommit is the answer to the tpc_finish that follows on a connection; 0: there is none before another vote.
func tidOfCommit(conn int, later []*line) zodb.Tid {
	var finish pickle.Value
	for _, l := range later {
		switch {
		case l.Conn != conn:
		case l.is("c2s", "vote"):
			return 0
		case l.is("c2s", "tpc_finish"):
			finish = l.message.ID
		case l.is("s2c", wire.ReplyMethod) && finish != nil && l.message.ID == finish:
			if b, ok := l.message.Args.(pickle.Bytes); ok && len(b) == 8 {
				return zodb.Tid(binary.BigEndian.Uint64(b))
			}
			return 0
		}
	}
	return 0
}

// compare finds nothing but what may differ.
func (s *stage) compare(l *line, raw []byte) {
	s.t.Helper()
	got, err := s.codec.Decode(raw)
	if err != nil || l.message == nil {
		s.t.Fatalf("got %q, %v", raw, err)
	}
	if diff := cmp.Diff(s.described(l.message), s.described(got)); diff != "" {
		s.t.Errorf("(-real +got)\n%s", diff)
	}
}

// described writes a message without what may differ.
func (s *stage) described(m *wire.Message) string {
	text := fmt.Sprintf("%v flag %d %s\n%s", m.ID, m.Flag, m.Method, text(once(m)))
	for _, differs := range s.differs {
		text = differs.ReplaceAllString(text, "($1 differs)")
	}
	return text
}

// once is the arguments of a message; of an invalidation without the oids that the real server repeats.
func once(m *wire.Message) pickle.Value {
	args, _ := m.Args.(pickle.Tuple)
	if m.Method != "invalidateTransaction" || len(args) != 2 {
		return m.Args
	}
	oids, _ := items(args[1])
	var seen pickle.Tuple
	for _, oid := range oids {
		if !slices.ContainsFunc(seen, func(v pickle.Value) bool { return text(v) == text(oid) }) {
			seen = append(seen, oid)
		}
	}
	return pickle.Tuple{args[0], seen}
}

// may lists what differs everywhere: times of the server, and texts for programmers.
var may = []*regexp.Regexp{
	regexp.MustCompile(`"(start)": ".*"`),
	regexp.MustCompile(`"(lock_time)": \d.*`),
	regexp.MustCompile(`"(builtins\.(?:TypeError|Exception))", \((?s:.*)\)`),
}

// mayAlso lists what differs in one conversation.
var mayAlso = map[string][]*regexp.Regexp{
	// The real server writes two records for a blob, and names its files to everybody.
	"blob": {regexp.MustCompile(`"(size)": \d+`), regexp.MustCompile(`"(No blob file).*"`)},
	// The real server forgets to invalidate what was deleted, here object 2.
	"read_conflict": {regexp.MustCompile(`(invalidateTransaction)\n\([0-9a-f]+, \[?\((0000000000000002)?\)\]?\)`)},
	// The object None is one that does not exist.
	"history": {regexp.MustCompile(`"()(?:builtins.AssertionError|ZODB.POSException.POSKeyError)", \((?:0{16})?\)`)},
	// The real server has exceptions where clients want what they say, and attributes that they do not look at.
	"undo": {regexp.MustCompile(`("ZODB.POSException.MultipleUndoErrors"), (?s:.*)`)},
}

// text writes a value with what it contains, dictionaries in the order of their keys.
func text(v pickle.Value) string {
	var parts []string
	switch v := v.(type) {
	case pickle.Tuple:
		for _, item := range v {
			parts = append(parts, text(item))
		}
		return "(" + strings.Join(parts, ", ") + ")"
	case *pickle.List:
		return "[" + text(pickle.Tuple(v.Items)) + "]"
	case *pickle.Dict:
		for _, p := range v.Items {
			parts = append(parts, text(p.Key)+": "+text(p.Value))
		}
		slices.Sort(parts)
		return "{\n" + strings.Join(parts, "\n") + "}"
	case pickle.Bytes:
		return fmt.Sprintf("%.100x", []byte(v))
	default:
		return fmt.Sprintf("%#v", v)
	}
}
