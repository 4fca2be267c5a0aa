package secondary

import (
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
)

// A copyMember is a node that follows another one, and has secondaries of its own.
type copyMember struct {
	recordedMember
	path []string
}

func (m copyMember) Info() primary.NodeInfo {
	return primary.NodeInfo{Node: m.node, UpstreamPath: m.path}
}

const copyNode, primaryNode = "0b6e2c8e-93d1-4b1e-9c53-2f5f7f8f4a01", "0b6e2c8e-93d1-4b1e-9c53-2f5f7f8f4a02"

// A new copy is a learner until it has what the primary had, and one that takes the data file as it is, too.
func TestANewCopyIsALearnerUntilItHasCaughtUp(t *testing.T) {
	ofCopy := copyMember{recordedMember{copyNode}, []string{primaryNode}}
	alone := copyMember{recordedMember{copyNode}, nil}
	for name, c := range map[string]struct {
		member primary.Member // nil: the primary itself
		any    bool           // no commits wait for secondaries
		seed   bool
		stays  bool
	}{
		"of the primary":                       {},
		"of the primary, as its file is":       {seed: true},
		"of a secondary":                       {member: ofCopy, stays: true},
		"of a secondary, where nothing waits":  {member: ofCopy, any: true},
		"of one that follows nobody":           {member: alone, any: true, stays: true},
		"of a primary that says that it leads": {member: recordedMember{copyNode}},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := inMemory(t).named(t).large(t, 10), inMemory(t)
			_, addr := p.asSeeder(t, func(o *primary.Options) { o.Member = c.member })
			r := s.follow(t, addr, func(o *Options) {
				o.LearnsFromAny = c.any
				if c.seed {
					o.SeedThreshold = 1
				}
			})
			r.eventually(t, "live", func(st Status) bool { // which may be seen before what is durable was noted
				return st.State == StateLive && (c.stays || !s.keep.State().Learner)
			})
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if got := s.keep.State().Learner; got != c.stays {
				t.Errorf("a learner: %v, want %v", got, c.stays)
			}
		})
	}
}

// The first of what a new copy gets does not give it a vote.
func TestACopyIsALearnerWhileItIsBehind(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 5), inMemory(t)
	if err := s.keep.AdoptAsLearner(p.id.StorageID, p.id.Epochs, false); err != nil {
		t.Fatal(err)
	}
	sec := New(s.st, s.keep, Options{Addresses: []string{"x"}})
	l := &link{goal: p.st.LastTid(), teaches: true, log: sec.log}
	if err := sec.learned(l, p.st.LastTid()-1); err != nil || !s.keep.State().Learner {
		t.Errorf("%v, a learner: %v", err, s.keep.State().Learner)
	}
	if err := sec.learned(l, p.st.LastTid()); err != nil || s.keep.State().Learner {
		t.Errorf("%v, a learner: %v", err, s.keep.State().Learner)
	}
}

// That a copy has caught up is durable before it is acknowledged: after a power failure it may have to learn again, and
// never the other way round.
func TestThatACopyHasCaughtUpIsDurable(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 3), inMemory(t)
	_, addr := p.asSeeder(t)
	r := s.follow(t, addr)
	r.has(t, p.st.LastTid())
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	saved, err := state.Load(s.fs, s.data())
	if err != nil || saved.Learner {
		t.Errorf("%v, %+v", err, saved)
	}
}
