package archive

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/age"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// With recipients nothing of the content can be read in the archive, a node that has no identity goes on with it, and
// who has it restores.
func TestAnEncryptedArchiveIsWrittenWithoutItsIdentityAndReadWithIt(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	disk := simdisk.New()
	store := newStore(t, disk)
	s := newSite(t, 1)
	defer s.close()
	for range 4 {
		s.commit(3, 1000, true)
		w := s.writer(store, func(o *Options) { o.Keys.Recipients = []age.Recipient{id.Recipient()} })
		s.archive(w)
	}
	for o, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(readFile(t, disk, "/archive/"+o.Key), []byte("bbbbbbbbbbbb")) {
			t.Errorf("%s has content that is not encrypted", o.Key)
		}
	}
	blind := open(t, store, Keys{})
	if r, err := blind.Verify(t.Context(), 1, nil); err != nil || len(r.Problems) > 0 || !r.Encrypted {
		t.Errorf("verify without an identity: %v, %+v", err, r)
	}
	if _, _, err := restored(t, blind, Latest, false); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("restore without an identity: %v", err)
	}
	a := open(t, store, Keys{Identities: []age.Identity{id}})
	if r, err := a.Verify(t.Context(), 1, nil); err != nil || len(r.Problems) > 0 || r.Encrypted {
		t.Errorf("verify: %v, %+v", err, r)
	}
	same(t, "the latest moment", mustRestore(t, a, Latest), s.look())
}
