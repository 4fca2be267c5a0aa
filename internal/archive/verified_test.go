package archive

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
)

// record verifies an archive, and keeps what that has found.
func record(t *testing.T, a *Archive, begun time.Time) *VerifyReport {
	t.Helper()
	r, err := a.Verify(t.Context(), 2, nil)
	if err == nil {
		err = a.Record(t.Context(), r, "far", begun, begun.Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A node that writes knows what verifications have found elsewhere: which was the last one, and when the last one
// began that found nothing wrong. What it learns later it shows later.
func TestAWriterKnowsOfVerificationsElsewhere(t *testing.T) {
	s := newSite(t, 1)
	defer s.close()
	store := newStore(t, s.disk)
	w := s.writer(store)
	s.commit(1, 10, false)
	s.archive(w)
	shows := func() Status {
		t.Helper()
		s.now = s.now.Add(verificationsEvery)
		w.lookForVerifications(t.Context())
		return w.Status(s.now)
	}
	a := open(t, store, Keys{})
	if st := shows(); st.Made == nil || !st.Made.Equal(a.Identity.Made) || st.Verified != nil || st.Proved != nil {
		t.Errorf("an archive that was never verified: %+v", st)
	}
	begun := time.Now().Add(-3 * time.Hour).UTC()
	if r := record(t, a, begun); len(r.Problems) > 0 {
		t.Fatal(r.Problems)
	}
	if st := shows(); st.Proved == nil || !st.Proved.Equal(begun) || st.Verified == nil || st.Verified.By != "far" {
		t.Errorf("after a verification: %+v", st)
	}
	flip(t, s.disk, "/archive/"+w.path.ID(0).name(), HeaderLen+1)
	record(t, a, begun.Add(time.Hour))
	st := shows()
	if st.Verified == nil || st.Verified.Problems == 0 || st.Verified.Problem == "" {
		t.Errorf("after one that found damage: %+v", st.Verified)
	}
	if st.Proved == nil || !st.Proved.Equal(begun) {
		t.Errorf("the last one that found nothing wrong began %v, want %v", st.Proved, begun)
	}
}

// A verification without the identity of an encrypted archive, one with a clock that is ahead, and one that is damaged
// or of another archive prove nothing that is not so.
func TestWhatAVerificationDoesNotProve(t *testing.T) {
	s, dir := newSite(t, 1), t.TempDir()
	defer s.close()
	store, err := objectstore.Open(t.Context(), "file://"+dir, objectstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s.commit(1, 10, false)
	s.archive(s.writer(store))
	a := open(t, store, Keys{})
	proved := func() *Verification {
		t.Helper()
		_, proof, err := a.Verifications(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	now := time.Now()
	if err := a.Record(t.Context(), &VerifyReport{Encrypted: true}, "", now, now); err != nil || proved() != nil {
		t.Errorf("without the identity: %v, %v", proved(), err)
	}
	other := *a
	other.Identity.Archive = "another"
	if err := other.Record(t.Context(), &VerifyReport{}, "", now, now); err != nil || proved() != nil {
		t.Errorf("of another archive: %v, %v", proved(), err)
	}
	ahead := now.AddDate(1, 0, 0)
	if err := a.Record(t.Context(), &VerifyReport{}, "", ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if v := proved(); v == nil || v.Begun.After(time.Now()) {
		t.Errorf("with a clock that is ahead: %+v", v)
	}
	names, err := a.verificationNames(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, vfs.OS{}, filepath.Join(dir, names[len(names)-1]), 3)
	if v := proved(); v != nil {
		t.Errorf("a damaged one proves %+v", v)
	}
}

// Prune keeps the newest verifications, and deletes those before them.
func TestPruneKeepsTheNewestVerifications(t *testing.T) {
	s := newSite(t, 1)
	defer s.close()
	store := newStore(t, s.disk)
	s.commit(1, 10, false)
	s.archive(s.writer(store))
	a := open(t, store, Keys{})
	at := time.Now()
	for range maxVerifications + 2 {
		at = at.Add(time.Second)
		if err := a.Record(t.Context(), &VerifyReport{}, "", at, at); err != nil {
			t.Fatal(err)
		}
	}
	all, err := a.verificationNames(t.Context())
	if err == nil {
		_, err = a.Prune(t.Context(), PruneOptions{Keep: DefaultKeep, Now: at})
	}
	left, failed := a.verificationNames(t.Context())
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, all[2:]) {
		t.Errorf("%d of %d are left, beginning with %s", len(left), len(all), left[0])
	}
}
