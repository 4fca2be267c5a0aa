package consistency

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// A Kind is what became of an Op: see the package comment. Ops of other kinds are only kept.
type Kind string

// The kinds.
const (
	Commit   Kind = "commit"
	Unknown  Kind = "unknown"
	Refused  Kind = "refused"
	Read     Kind = "read"
	Snapshot Kind = "snapshot"
)

// An Op is one request of a client, and its answer.
type Op struct {
	Kind   Kind   `json:"kind"`
	Client string `json:"client"`
	Conn   int    `json:"conn"` // which of the client's connections, from 1
	Node   string `json:"node"` // who answered
	Begin  int64  `json:"begin"`
	End    int64  `json:"end"` // nanoseconds of the drill's clock, as Begin

	Tid   zodb.Tid            `json:"tid,omitempty"` // of a commit; of a snapshot: as of which transaction, 0: unknown
	Read  map[zodb.Oid]Seen   `json:"read,omitempty"`
	Wrote map[zodb.Oid]string `json:"wrote,omitempty"` // empty value: it was written, but what is not compared

	Resolved []zodb.Oid         `json:"resolved,omitempty"` // writes that were merged with those of others
	Adds     map[zodb.Oid]int64 `json:"adds,omitempty"`     // what was added to counters
	Key      string             `json:"key,omitempty"`      // that was added to the set
	Keys     *int               `json:"keys,omitempty"`     // in the set, if a snapshot has counted them

	line int // of the client's log, from 1; 0: it was not read from one
}

// Seen is a revision that was read. Its serial is 0 where there was no such object. A commit needs no values.
type Seen struct {
	Value  string   `json:"value"`
	Serial zodb.Tid `json:"serial"`
}

// server is who answered, for messages.
func (op *Op) server() string {
	if op.Node == "" {
		return "the server"
	}
	return "node " + op.Node
}

// A Log takes the Ops of all clients. Its methods may be called concurrently.
type Log struct {
	mu  sync.Mutex
	w   *bufio.Writer
	enc *json.Encoder
	ops []Op
	err error
}

// NewLog returns a log that also writes to w, one JSON object a line.
func NewLog(w io.Writer) *Log {
	l := &Log{w: bufio.NewWriter(w)}
	l.enc = json.NewEncoder(l.w)
	return l
}

// Add appends an Op.
func (l *Log) Add(op *Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, *op)
	if err := l.enc.Encode(op); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing the history of the clients: %w", err)
	}
}

// Count returns how many Ops of a kind there are.
func (l *Log) Count(kind Kind) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.ops {
		if l.ops[i].Kind == kind {
			n++
		}
	}
	return n
}

// Len returns how many Ops there are.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ops)
}

// Close returns all Ops, when nobody adds any more, and what went wrong with writing them.
func (l *Log) Close() ([]Op, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.w.Flush(); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing the history of the clients: %w", err)
	}
	return l.ops, l.err
}

// maxLine bounds a line: a snapshot of some hundred objects.
const maxLine = 1 << 20

// ReadLog reads the log of a client from a file.
func ReadLog(client, path string) ([]Op, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var ops []Op
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		op := Op{Client: client, line: len(ops) + 1}
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(ops)+1, err)
		}
		ops = append(ops, op)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", path, len(ops)+1, err)
	}
	return ops, nil
}
