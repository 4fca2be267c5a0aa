package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/primary"
)

// Defaults of verifications. A week for each is what operators of such systems have found to be enough, and a rate that
// no disk of today notices.
const (
	DefaultVerifyInterval = 7 * 24 * time.Hour
	DefaultVerifyRate     = 64 << 20
	DefaultVerifyBlobs    = 28 * 24 * time.Hour
	DefaultReclaimAge     = verify.DefaultReclaimAge
)

// A VerifyConfig says how often and how fast the storage is verified.
type VerifyConfig struct {
	Interval   time.Duration // between passes; 0: only when an operator asks
	Rate       int64         // bytes per second; 0: no limit
	Blobs      time.Duration // how long ago a blob must have been read to be read again
	ReclaimAge time.Duration // how old temporary files of zrsd must be to be removed; 0: they are not
}

// check reports the first setting that makes no sense.
func (v *VerifyConfig) check() error {
	switch {
	case v.Interval < 0 || v.Interval > 0 && v.Interval < time.Minute:
		return &ConfigError{"--verify-interval " + v.Interval.String() + ": give at least 1m, or 0 for none"}
	case v.Rate < 0:
		return &ConfigError{"--verify-rate: give a number of bytes per second, or 0 for no limit"}
	case v.Blobs < 0:
		return &ConfigError{"--verify-blobs " + v.Blobs.String() + ": give a duration such as 672h"}
	case v.ReclaimAge < 0 || v.ReclaimAge > 0 && v.ReclaimAge < time.Hour:
		return &ConfigError{"--reclaim-age " + v.ReclaimAge.String() + ": give at least 1h, or 0 for never"}
	}
	return nil
}

// checkHeal reports a mode of healing that there is not.
func (c *Config) checkHeal() error {
	switch c.Heal {
	case "", HealByRole, HealAuto, HealAsk:
		return nil
	}
	return &ConfigError{fmt.Sprintf("--heal %q: give auto, ask or by-role", c.Heal)}
}

// A verifiable is what there is of an open storage for a pass.
type verifiable struct {
	committed func() int64
	chain     *hashchain.Local // nil: none is kept
	blobs     blobDir
	peers     func() []string // addresses where other nodes answer questions about their history
	others    func() []string // beside these, where nodes may be that are not connected at present; nil: none are known
	primary   func() bool     // nil: the storage is not replicated
}

// newVerifier makes what verifies the storage of the node.
func (c *Config) newVerifier() *verify.Verifier {
	return verify.NewVerifier(verify.VerifierOptions{
		FS: c.FS, Path: c.Data, Name: c.name(), Interval: c.Verify.Interval, ReadOnly: c.onlyRead,
		Logger: c.Logger.Named("verify"),
	})
}

// verifies makes an open storage available to passes, until done is called. A pass ends with the use of the storage.
func (c *Config) verifies(v *verifiable) (done func()) {
	c.verifiable.Store(v)
	return func() { c.verifiable.Store(nil) }
}

// verify makes one pass over the open storage.
func (c *Config) verify(ctx context.Context, req admin.VerifyRequest, progress func(admin.VerifyProgress)) (
	pass verify.Pass, err error) {
	err = c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		v := c.verifiable.Load()
		if v == nil {
			return errNotOpen
		}
		opt := c.passOptions(v, req)
		opt.Progress = func(done, total int64) { progress(admin.VerifyProgress{Done: done, Total: total}) }
		marks := damageMarks(st)
		made, err := c.verifier.Once(ctx, opt)
		if errors.Is(err, verify.ErrRunning) {
			return &admin.Refusal{Reason: admin.Busy, Text: err.Error()}
		}
		pass = *made
		marks(made)
		c.healer.verified(made, &req)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil // it says itself why it did not come to its end
	})
	return pass, err
}

// damageMarks returns what has loads of damaged records fail, by what a pass finds that begins now.
func damageMarks(st undoLister) func(*verify.Pass) {
	own, is := st.(*filestorage.Storage)
	if !is {
		return func(*verify.Pass) {}
	}
	file := own.Edition()
	return func(pass *verify.Pass) {
		var parts []filestorage.Part
		for i := range pass.Suspects {
			if s := &pass.Suspects[i]; s.Exact {
				parts = append(parts, filestorage.Part{From: s.From, To: s.To})
			}
		}
		if pass.Error == nil || len(parts) > 0 {
			own.SetDamaged(file, parts)
		}
	}
}

func (c *Config) passOptions(v *verifiable, req admin.VerifyRequest) verify.Options {
	opt := verify.Options{
		FS: c.FS, Path: c.Data, Committed: v.committed, Rate: c.Verify.Rate, Yield: true, BlobAge: c.Verify.Blobs,
		ReclaimAge: c.Verify.ReclaimAge, Logger: c.Logger.Named("verify"), Peers: c.peers(v),
	}
	if req.Rate != nil {
		opt.Rate = *req.Rate
	}
	if req.AllBlobs {
		opt.BlobAge = 0
	}
	if v.chain != nil {
		opt.Kept = func() (state.Chain, error) { return v.chain.Kept(), nil }
	}
	switch {
	case v.blobs.shared != nil:
		opt.NoBlobs = "the blob directory is the primary's own, which verifies it"
	case v.blobs.cached():
		opt.NoBlobs = "the blob directory is a cache: each blob is verified when it is fetched"
	case v.blobs.own == nil:
		opt.NoBlobs = "there is no blob directory"
	case v.blobs.own.Here() != nil:
		opt.NoBlobs = v.blobs.own.Here().Error()
	default:
		opt.Blobs, opt.BlobPath, opt.Notes = v.blobs.own.AsIs(), v.blobs.own.Dir(), v.blobs.notes
	}
	return opt
}

// peers are the other nodes that the storage is compared with.
func (c *Config) peers(v *verifiable) (peers []verify.Peer) {
	if v.peers == nil {
		return nil
	}
	addresses := v.peers()
	slices.Sort(addresses)
	for _, addr := range slices.Compact(addresses) {
		peers = append(peers, verify.Peer{Name: addr, Ask: func(ctx context.Context, count *atomic.Int64) (
			verify.Remote, error) {
			dial := func(ctx context.Context) (net.Conn, error) {
				conn, err := c.dialServer(ctx, addr)
				if err != nil {
					return nil, err
				}
				return verify.Counted(conn, count), nil
			}
			return hashchain.Dial(ctx, dial, c.read.secret, c.name()+" (verify)")
		}})
	}
	return peers
}

// verifiable is what passes look at, while the session's storage is open.
func (s *session) verifiable() *verifiable {
	v := &verifiable{committed: s.st.Size, chain: s.chain, blobs: s.blobs, primary: s.node.IsPrimary}
	v.peers = func() (list []string) {
		if !s.node.IsPrimary() {
			if up := s.sec.Status(); up.Address != "" {
				list = append(list, up.Address)
			}
		}
		if s.replicationServer != nil {
			list = append(list, followers(s.replicationServer.Status(), false)...)
		}
		return list
	}
	v.others = func() (list []string) {
		for _, e := range s.cfg.ReplicateFrom {
			list = append(list, e.String())
		}
		if s.replicationServer != nil {
			list = append(list, followers(s.replicationServer.Status(), true)...)
		}
		return list
	}
	return v
}

// followers are the addresses of secondaries that can be asked: of those that are connected, or of the others.
func followers(st primary.Status, disconnected bool) (list []string) {
	for _, sec := range st.Secondaries {
		if sec.ReplicationAddr != "" && disconnected == (sec.State == primary.StateDisconnected) {
			list = append(list, sec.ReplicationAddr)
		}
	}
	return list
}

// How often it is looked whether a pass is due, and how long a storage that is not open is left alone.
const (
	verifyLook  = time.Minute
	verifyRetry = 30 * time.Second
)

// verifyAll makes the passes that are due, one at a time, over the storage with the oldest completed pass first, until
// ctx ends.
func verifyAll(ctx context.Context, members []*member) {
	var planned []*member
	for _, m := range members {
		if m.c.Verify.Interval > 0 {
			planned = append(planned, m)
			if _, err := m.c.FS.Stat(m.c.Data); !errors.Is(err, fs.ErrNotExist) {
				m.c.verifier.Save()
			}
		}
	}
	for len(planned) > 0 && ctx.Err() == nil {
		now := time.Now()
		wait := untilDue(planned, now)
		for _, m := range due(planned, now) {
			_, err := m.c.verify(ctx, admin.VerifyRequest{}, func(admin.VerifyProgress) {})
			var refusal *admin.Refusal
			if !errors.As(err, &refusal) {
				wait = 0
				break
			}
			wait = verifyRetry
		}
		if wait > 0 {
			pause.For(ctx, wait)
		}
	}
}

// untilDue returns how long to wait before it is looked again; a pass that an operator makes puts others off.
func untilDue(members []*member, now time.Time) time.Duration {
	wait := verifyLook
	for _, m := range members {
		next, _ := m.c.verifier.Due()
		wait = min(wait, max(next.Sub(now), 0))
	}
	return wait
}

// due returns those of which a pass is due, the one with the oldest completed pass first.
func due(members []*member, now time.Time) (list []*member) {
	for _, m := range members {
		if next, _ := m.c.verifier.Due(); !next.After(now) {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b *member) int {
		_, lastA := a.c.verifier.Due()
		_, lastB := b.c.verifier.Due()
		return lastA.Compare(lastB)
	})
	return list
}

// showVerify adds what verifications have found to what a node says of itself. Damage is a trouble until a pass finds
// none.
func (f *nodeStatus) showVerify(st *admin.Status) {
	if f.verifier == nil {
		return
	}
	f.healer.show(st)
	v := f.verifier.Status()
	if v.Next == nil && v.Last == nil && v.Failed == nil && v.Running == nil {
		return
	}
	st.Verify = v
	for _, pass := range []*verify.Pass{v.Last, v.Failed} {
		if pass != nil && pass.Damages > 0 {
			st.Troubles = append(st.Troubles, admin.Trouble{Code: warning.Damaged, Since: pass.Ended,
				Text: "the verification of the storage found damage: " + pass.Findings[0].String()})
		}
	}
}
