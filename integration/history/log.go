package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/zrsd/zrsd/zodb"
)

// The kinds of lines.
const (
	Connect  = "connect"
	Snapshot = "snapshot"
	Commit   = "commit"
	Unknown  = "unknown"
)

// A Log is what one client was told by one server, in order.
type Log struct {
	Client string // name for messages
	Lines  []Line
}

// A Line is one thing that a client learned, or did not.
type Line struct {
	Kind string `json:"kind"`

	// Of commits, and of those whose outcome is unknown.
	Tid      zodb.Tid              `json:"tid"`      // 0 where it is unknown
	Writes   map[zodb.Oid]string   `json:"writes"`   // empty value: it was written, but what is not compared
	Reads    map[zodb.Oid]zodb.Tid `json:"reads"`    // serial of the revision that each write is based on, 0 for none
	Resolved []zodb.Oid            `json:"resolved"` // writes that were merged with those of others
	Adds     map[zodb.Oid]int64    `json:"adds"`     // what was added to counters
	Key      string                `json:"key"`      // that was added to the set, or empty

	// Of snapshots.
	At     zodb.Tid          `json:"at"` // newest transaction that the client claims to see, 0 if it does not
	Values map[zodb.Oid]Read `json:"values"`
	Keys   *int              `json:"keys"` // in the set, if the client has counted
}

// A Read is the revision of an object that a client was given.
type Read struct {
	Value  string   `json:"value"`
	Serial zodb.Tid `json:"serial"`
}

// maxLine bounds a line: a snapshot of some hundred objects.
const maxLine = 1 << 20

// ReadLog reads the log of the client with the name from a file.
func ReadLog(client, path string) (*Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	log := &Log{Client: client}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(log.Lines)+1, err)
		}
		log.Lines = append(log.Lines, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", path, len(log.Lines)+1, err)
	}
	return log, nil
}

// Count returns how many lines are of the kind.
func (l *Log) Count(kind string) (n int) {
	for i := range l.Lines {
		if l.Lines[i].Kind == kind {
			n++
		}
	}
	return n
}
