package packplan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// Suffix is what the name of the record has after that of the Data.fs.
const Suffix = ".packs.zrsd"

// recordFormat is the version of the record.
const recordFormat = 1

// maxRecord is the most bytes that a record has.
const maxRecord = 64 << 10

// A record is what is kept of a node's packs by schedule.
type record struct {
	Format  int        `json:"format"`
	Since   time.Time  `json:"since"`
	Done    *time.Time `json:"done"`
	Ended   *time.Time `json:"ended"`
	Failed  *string    `json:"failed"`
	LeftOut *LeftOut   `json:"left_out"`
}

// A Plan is the schedule of a node and its record. It may be used concurrently.
type Plan struct {
	Schedule *Schedule
	Days     int // how many days of history packs leave

	disk vfs.FS
	path string // of the record

	mu      sync.Mutex
	kept    record
	claimed bool // this node is about to pack, or packs
	turn    *Turn
	waits   *string
}

// Open reads the record of the data file at path, or begins one: a new node has missed nothing. The error says why a
// record could not be read, or written; the Plan can be used.
func Open(disk vfs.FS, path string, s *Schedule, days int, now time.Time) (*Plan, error) {
	p := &Plan{Schedule: s, Days: days, disk: vfs.OrOS(disk), path: path + Suffix}
	err := p.load()
	if err == nil && p.kept.Format == recordFormat {
		return p, nil
	}
	p.kept = record{Format: recordFormat, Since: now.UTC().Truncate(time.Second)}
	return p, errors.Join(err, p.save())
}

func (p *Plan) load() error {
	b, err := vfs.ReadFile(p.disk, p.path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the record of packs by schedule: %w", err)
	}
	if err := json.Unmarshal(b, &p.kept); err != nil {
		return fmt.Errorf("the record of packs by schedule, %s: %w", p.path, err)
	}
	if p.kept.Format != recordFormat {
		return fmt.Errorf("the record of packs by schedule, %s, has format %d, not %d", p.path, p.kept.Format,
			recordFormat)
	}
	return nil
}

// save replaces the record. It is called with mu held, or before anybody else knows the Plan.
func (p *Plan) save() error {
	b, err := json.Marshal(&p.kept)
	if err == nil {
		err = vfs.WriteFileAtomic(p.disk, p.path, ".tmp", func(f vfs.File) error {
			_, err := f.WriteAt(append(b, '\n'), 0)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("the record of packs by schedule: %w", err)
	}
	return nil
}

// State is what the node says.
func (p *Plan) State(now time.Time) *State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &State{
		Schedule: p.Schedule.String(), Days: p.Days, Since: p.kept.Since, Done: p.kept.Done, Ended: p.kept.Ended,
		Failed: p.kept.Failed, LeftOut: p.kept.LeftOut, Turn: p.turn, Waits: p.waits,
	}
	if next := p.Schedule.Next(now).UTC(); !next.IsZero() {
		s.Next = &next
	}
	return s
}

// Claimed reports whether the node is about to pack by schedule, or packs.
func (p *Plan) Claimed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.claimed
}

// Claim says so to others from now on, until it is called with false.
func (p *Plan) Claim(claimed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claimed = claimed
}

// Tell says whose turn it is, or why it is nobody's.
func (p *Plan) Tell(turn *Turn, waits string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn, p.waits = turn, nil
	if waits != "" {
		p.waits = &waits
	}
}

// Finish notes that the node has packed for a scheduled time, or has tried to.
func (p *Plan) Finish(at, now time.Time, failure error) error {
	at, now = at.UTC(), now.UTC()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Done, p.kept.Ended, p.kept.Failed, p.kept.LeftOut = &at, &now, nil, nil
	if failure != nil {
		text := failure.Error()
		p.kept.Failed = &text
	}
	return p.save()
}

// GiveUp notes that a scheduled time is left out, and why.
func (p *Plan) GiveUp(at time.Time, why string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.LeftOut = &LeftOut{at.UTC(), why}
	p.kept.Since = latest(p.kept.Since, at.UTC())
	return p.save()
}
