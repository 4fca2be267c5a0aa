package verify

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// ErrRunning says that a pass over the storage is under way.
var ErrRunning = errors.New("a verification of this storage is already under way")

// writeEvery is how often the status file is written while a pass runs.
const writeEvery = 10 * time.Second

// A Verifier makes the passes over one storage, keeps their results, and knows when the next one is due. Its methods
// may be called concurrently.
type Verifier struct {
	disk     vfs.FS
	interval time.Duration
	readOnly bool
	log      hclog.Logger
	now      func() time.Time

	writing sync.Mutex // of the file

	mu     sync.Mutex
	status Status
}

// VerifierOptions are those of a Verifier. Path is required.
type VerifierOptions struct {
	FS       vfs.FS        // nil: the real disk
	Path     string        // of the Data.fs
	Name     string        // of the node
	Interval time.Duration // between passes; 0: they are made by hand only
	ReadOnly bool          // nothing is written: neither the status nor what passes note
	Logger   hclog.Logger
	Now      func() time.Time // nil: the system's
}

// NewVerifier reads what is known of earlier passes. A file that cannot be read is logged, and written anew.
func NewVerifier(opt VerifierOptions) *Verifier {
	v := &Verifier{
		disk: vfs.OrOS(opt.FS), interval: opt.Interval, readOnly: opt.ReadOnly, log: opt.Logger, now: opt.Now,
	}
	if v.log == nil {
		v.log = hclog.NewNullLogger()
	}
	if v.now == nil {
		v.now = time.Now
	}
	before, err := statusBefore(v.disk, opt.Path)
	if err != nil {
		v.log.Info("cannot read what is known of earlier verifications", "error", err)
	}
	v.status = *before
	v.status.Name = opt.Name
	v.status.Next = v.plan(before.Next)
	return v
}

// plan returns when the next pass is due: as it was planned, unless the interval is shorter now. The first pass comes
// within a tenth of an interval.
func (v *Verifier) plan(planned *time.Time) *time.Time {
	if v.interval <= 0 {
		return nil
	}
	now := v.now().UTC()
	latest := now.Add(v.interval / 10)
	if v.status.Last != nil {
		latest = v.status.Last.Ended.Add(v.interval + v.interval/10)
	}
	if planned == nil || planned.After(latest) {
		due := latest
		if v.status.Last == nil {
			due = now.Add(jittered(v.interval / 20))
		}
		planned = &due
	}
	return planned
}

// jittered returns about d: storages that began together are not verified together for ever.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d)) //nolint:gosec // nobody is to be surprised by it
}

// Status returns what is known now.
func (v *Verifier) Status() *Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.status
	s.Written = v.now().UTC()
	if s.Running != nil {
		running := *s.Running
		s.Running = &running
	}
	return &s
}

// Due returns when the next pass is due, and when the last one ended that came to its end; zero: never.
func (v *Verifier) Due() (next, last time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.status.Next != nil {
		next = *v.status.Next
	}
	if v.status.Last != nil {
		last = v.status.Last.Ended
	}
	return next, last
}

// Save writes the status file, as a sign that somebody looks after the storage.
func (v *Verifier) Save() {
	if v.readOnly {
		return
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	if err := v.Status().save(v.disk); err != nil {
		v.log.Warn("cannot write the status file of verifications", "error", err, "warning", warning.FilesWrong)
	}
}

// Once makes a pass. The error is ErrRunning, or that of Run.
func (v *Verifier) Once(ctx context.Context, opt Options) (*Pass, error) {
	if !v.begin() {
		return nil, ErrRunning
	}
	v.Save()
	opt.Dry = opt.Dry || v.readOnly
	tell := opt.Progress
	next := v.now().Add(writeEvery)
	opt.Progress = func(done, total int64) {
		v.reached(done, total)
		if now := v.now(); now.After(next) {
			next = now.Add(writeEvery)
			v.Save()
		}
		if tell != nil {
			tell(done, total)
		}
	}
	v.log.Info("verification began", "file", opt.Path, "rate", opt.Rate)
	pass, err := Run(ctx, opt)
	if givenUp := err != nil && ctx.Err() != nil; givenUp {
		v.giveUp()
		v.Save()
		v.log.Info("verification was given up", "file", opt.Path, "reason", context.Cause(ctx).Error())
		return pass, err
	}
	v.end(pass)
	v.Save()
	v.tell(pass)
	return pass, err
}

// giveUp notes that a pass was ended by who wanted it, or because the node stops. That is no failure: one that was due
// is made within an hour, and one by hand changes nothing.
func (v *Verifier) giveUp() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status.Running = nil
	now := v.now().UTC()
	if v.interval > 0 && (v.status.Next == nil || !v.status.Next.After(now)) {
		due := now.Add(min(jittered(v.interval), retryAfter))
		v.status.Next = &due
	}
}

func (v *Verifier) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.status.Running != nil {
		return false
	}
	v.status.Running = &Running{Since: v.now().UTC()}
	return true
}

func (v *Verifier) reached(done, total int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status.Running.Done, v.status.Running.Total = done, total
}

// retryAfter is when a pass that did not come to its end is tried again, at the latest.
const retryAfter = time.Hour

// end notes what became of a pass.
func (v *Verifier) end(pass *Pass) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status.Running = nil
	v.status.Totals.add(pass)
	wait := min(jittered(v.interval), retryAfter)
	if pass.Error == nil {
		v.status.Last, v.status.Failed = pass, nil
		wait = jittered(v.interval)
	} else {
		v.status.Failed = pass
	}
	if v.interval > 0 {
		due := v.now().UTC().Add(wait)
		v.status.Next = &due
	}
}

// NoteHealed counts what became of damage: how many parts were healed, and how many are kept in quarantine.
func (v *Verifier) NoteHealed(healed, quarantined int64) {
	v.mu.Lock()
	v.status.Totals.Healed += healed
	v.status.Totals.Kept += quarantined
	if last := v.status.Last; last != nil {
		counted := *last
		counted.Healed += healed
		counted.Quarantined += quarantined
		v.status.Last = &counted
	}
	v.mu.Unlock()
	v.Save()
}

// tell logs what was found.
func (v *Verifier) tell(pass *Pass) {
	for i := range pass.Findings {
		f := &pass.Findings[i]
		if f.Severity == "damage" {
			v.log.Error("verification found damage", "file", pass.Path, "finding", f.String(),
				"warning", warning.Damaged)
		}
	}
	switch {
	case pass.Error != nil:
		v.log.Error("verification did not come to its end", "file", pass.Path, "error", *pass.Error,
			"warning", warning.VerifyFailed)
	default:
		v.log.Info("verification ended", "file", pass.Path, "damages", pass.Damages, "warnings", pass.Warnings,
			"seconds", pass.Seconds, "bytes", pass.Bytes, "blobs_read", pass.BlobsRead)
	}
}
