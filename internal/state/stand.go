package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/internal/vfs"
)

// replacedSuffix is what the name of a file has that was put in the place of the state file.
const replacedSuffix = ".replaced"

// A ReplacedError says that the state file was removed, replaced or changed while it was in use, and what was done
// about it.
type ReplacedError struct {
	path string
	what string // what was done to it
	kept string // where what stood there is now; empty: nothing did
	Err  error  // why it could not be written again; nil: it was
}

func (e *ReplacedError) Error() string {
	kept := ""
	if e.kept != "" {
		kept = "; the other file is kept as " + e.kept
	}
	done := "it was restored: do not change it while zrsd runs; stop zrsd before you replace it"
	if e.Err != nil {
		done = fmt.Sprintf("it cannot be written again (%v), retrying every few seconds: until then do not stop "+
			"zrsd, because without this file the node forgets its identity and its votes", e.Err)
	}
	return fmt.Sprintf("the state file %s was %s while zrsd was using it%s; %s", e.path, e.what, kept, done)
}

func (e *ReplacedError) Unwrap() error { return e.Err }

// Look checks that the state file is the one that was written or read last, and otherwise writes it again, because it
// has the votes of the node: then it returns a *ReplacedError. The other file is kept beside it.
func (k *Keeper) Look() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.now.Load() == nil {
		return nil
	}
	told := k.told
	k.told = nil
	return errors.Join(told, k.restore())
}

// restore does so, with writing held.
func (k *Keeper) restore() error {
	s := *k.now.Load()
	what, content, err := k.changed(&s)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", s.path, err)
	}
	if what == "" {
		return nil
	}
	if k.uncertain { // it was this Keeper
		if err := s.Save(); err != nil {
			return err
		}
		k.now.Store(&s)
		k.uncertain = false
		return nil
	}
	return k.replace(&s, what, content)
}

// replace writes s again, and beside it what stood in its place, nil for nothing.
func (k *Keeper) replace(s *State, what string, content []byte) error {
	e := &ReplacedError{path: s.path, what: what}
	if content != nil {
		e.kept = s.path + replacedSuffix
		e.Err = put(s.fs, e.kept, content)
	}
	if e.Err == nil {
		e.Err = s.Save()
	}
	if e.Err == nil {
		k.now.Store(s)
	}
	return e
}

// changed returns what was done to the file of s; empty: nothing. content is what is there instead, if anything.
func (k *Keeper) changed(s *State) (what string, content []byte, err error) {
	at, err := s.fs.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "removed", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	same := vfs.SameFile(at, s.at)
	if same && at.Size() == s.at.Size() && at.ModTime().Equal(s.at.ModTime()) {
		return "", nil, nil
	}
	content, _, err = read(s.fs, s.path)
	if err != nil {
		return "", nil, err
	}
	own, err := encode(s)
	switch {
	case err != nil:
		return "", nil, err
	case !same:
		return "replaced", content, nil
	case bytes.Equal(own, content): // its time is another
		s.at = at
		k.now.Store(s)
		return "", nil, nil
	}
	return "changed", content, nil
}

// put makes a file of content, durably but for its name.
func put(disk vfs.FS, path string, content []byte) error {
	return vfs.WriteNewFile(disk, path, func(f vfs.File) error {
		_, err := f.WriteAt(content, 0)
		return err
	})
}
