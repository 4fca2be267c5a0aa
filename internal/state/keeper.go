package state

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
)

// A Keeper owns the state of a storage while that is in use: all changes go through it, so that no
// change overwrites another. Its methods may be called concurrently.
type Keeper struct {
	disk vfs.FS
	data string // path of the Data.fs

	node string // id for a state that has still to be made

	writing   sync.Mutex
	now       atomic.Pointer[State] // nobody changes what it points to; nil: there is no state yet
	uncertain bool                  // of writing: after an error the file may be newer than what now points to
	told      error                 // of writing: what Look has to say of what Update came upon
}

// Open reads the state of the storage at dataPath, if it has one, and gives it a node id if it has none of its own: it
// was written by an older version, or is a copy. The errors are those of Load, but for a missing file, which is none.
// disk nil: the real one.
func Open(disk vfs.FS, dataPath string) (*Keeper, error) {
	disk = vfs.OrOS(disk)
	k := &Keeper{disk: disk, data: dataPath, node: newID()}
	s, err := Load(disk, dataPath)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = s.secure()
	}
	if err != nil {
		return nil, err
	}
	if s.Copied || s.Node == "" {
		s.settle()
		if err := s.Save(); err != nil {
			return nil, err
		}
	}
	k.now.Store(s)
	return k, nil
}

// settle makes a copy a node of its own, which remembers of which one it is a copy. A node without an id is none.
func (s *State) settle() {
	if s.Was == "" {
		s.Was = s.Node
	}
	s.Node, s.Waits = newID(), nil
}

// Settle does so for a storage whose Data.fs is not the one that the state was kept with.
func (k *Keeper) Settle() error {
	return k.Update(func(s *State) error {
		s.Copied = true
		s.settle()
		return nil
	})
}

// SettleBehind is Settle for a storage that lacks transactions which it once had.
func (k *Keeper) SettleBehind() error {
	return k.Update(func(s *State) error {
		s.Copied, s.Learner = true, true
		s.settle()
		return nil
	})
}

// State returns the state as it is now, nil when there is none. It must not be changed.
func (k *Keeper) State() *State { return k.now.Load() }

// Node returns the id of this copy, also before there is a state: that will have it.
func (k *Keeper) Node() string {
	if s := k.State(); s != nil {
		return s.Node
	}
	return k.node
}

// Create gives the storage a new id and its first epoch.
func (k *Keeper) Create() error {
	return k.begin(&State{StorageID: newID(), Epochs: []protocol.Epoch{{Number: 1, Node: k.node}}})
}

// CreateUnnamed is Create for a copy of a storage that has no id.
func (k *Keeper) CreateUnnamed() error {
	return k.begin(&State{StorageID: newID(), Epochs: []protocol.Epoch{{Number: 1}}, GeneratedID: true})
}

// Adopt gives the storage, a copy, the identity of what it is a copy of. foreign: it has transactions already.
func (k *Keeper) Adopt(storageID string, epochs []protocol.Epoch, external bool) error {
	return k.begin(&State{StorageID: storageID, Epochs: epochs, ExternalHistory: external})
}

// AdoptAsLearner is Adopt for a copy that has not everything of the primary yet.
func (k *Keeper) AdoptAsLearner(storageID string, epochs []protocol.Epoch, external bool) error {
	return k.begin(&State{StorageID: storageID, Epochs: epochs, ExternalHistory: external, Learner: true})
}

func (k *Keeper) begin(s *State) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	s.Node = k.node
	s, err := begin(k.disk, k.data, s)
	if err != nil {
		return err
	}
	k.now.Store(s)
	return nil
}

// ErrNoState says that a storage has no state yet that could be changed.
var ErrNoState = errors.New("the storage has no id yet: a primary gets one at its first start, a secondary when it " +
	"first reaches its primary")

// Update changes the state: change gets a copy and may refuse by an error, which Update returns. The new state is
// durable, and what State returns, when Update returns nil. After an error of the disk the old one is what State
// returns, and the file has one or the other.
func (k *Keeper) Update(change func(*State) error) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	old := k.now.Load()
	if old == nil {
		return ErrNoState
	}
	s := *old
	s.Epochs, s.Follow = slices.Clone(old.Epochs), slices.Clone(old.Follow)
	if err := change(&s); err != nil {
		return err
	}
	if err := k.restore(); err != nil { // otherwise nobody would see what is overwritten
		k.told = err
	}
	if err := s.Save(); err != nil {
		k.uncertain = true
		return err
	}
	k.uncertain = false
	k.now.Store(&s)
	return nil
}
