package integration

import (
	"slices"
	"testing"
)

// differences are what the real ZODB found when it read two storages side by side.
type differences struct {
	Transactions int      `json:"transactions"`
	Records      int      `json:"records"`
	Blobs        int      `json:"blobs"`
	NoEmptyBlob  int      `json:"no_empty_blob"`
	Differences  []string `json:"differences"`
}

// mustBeReplicated expects that the real ZODB finds the same transactions, records and blobs in a and in b, where they
// came through the members named. When all of these keep empty blobs, zrsd must find the same.
func mustBeReplicated(t *testing.T, a, b *site, through ...*software) {
	t.Helper()
	if mustSayTheSame(t, "all", a, b, through) {
		mustBeSound(t, b)
		mustAgree(t, a, b)
	}
}

// mustHoldWhatIsLeftOf expects that b has everything that a pack has left in a.
func mustHoldWhatIsLeftOf(t *testing.T, a, b *site, through ...*software) {
	t.Helper()
	if mustSayTheSame(t, "packed", a, b, through) {
		mustBeSound(t, b)
	}
}

// mustSayTheSame reports whether b may be expected to be whole: a zc.zrs secondary makes no files for empty blobs.
func mustSayTheSame(t *testing.T, mode string, a, b *site, through []*software) (whole bool) {
	t.Helper()
	var found differences
	ask(t, &found, "differences.py", mode, a.data, a.blobs, b.data, b.blobs)
	for _, difference := range found.Differences {
		t.Errorf("ZODB finds another database: %s", difference)
	}
	if found.Transactions == 0 || found.Records == 0 || a.blobs != "" && found.Blobs == 0 {
		t.Errorf("too little to compare: %+v", found)
	}
	if a.blobs != "" && slices.ContainsFunc(through, func(s *software) bool { return s.forgetsEmptyBlobs }) {
		return false
	}
	if found.NoEmptyBlob > 0 {
		t.Errorf("%d empty blobs have no file", found.NoEmptyBlob)
	}
	return true
}
