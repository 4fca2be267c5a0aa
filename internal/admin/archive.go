package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// An Archive is how far the archive of a storage is.
type Archive struct {
	URL        string     `json:"url"`
	State      string     `json:"state"`       // as in package archive
	Generation *uint64    `json:"generation"`  // that is written; nil: not known yet
	Complete   bool       `json:"complete"`    // the present can be restored from it
	LastTid    *zodb.Tid  `json:"last_tid"`    // in the archive
	Archived   *time.Time `json:"archived"`    // when everything was in the archive last
	LagBytes   int64      `json:"lag_bytes"`   // of the data file that are not in it
	LagSeconds float64    `json:"lag_seconds"` // for how long something has not been in it
	// LagTransactions is how many are not in it. Nil: it is not known.
	LagTransactions *int64  `json:"lag_transactions"`
	Segments        uint64  `json:"segments"`      // that this process has written
	Bytes           int64   `json:"bytes"`         // stored with them
	Blobs           uint64  `json:"blobs"`         // likewise
	BlobBytes       int64   `json:"blob_bytes"`    // likewise
	BlobsMissing    uint64  `json:"blobs_missing"` // that this node did not have
	Failures        uint64  `json:"failures"`      // attempts that failed
	LastError       *string `json:"last_error"`    // nil: nothing is wrong

	Made     *time.Time `json:"made"`     // when it was made; nil: it was not reached yet
	Verified *time.Time `json:"verified"` // since when a verification has read that found nothing wrong; nil: none has
	// VerifyProblem is what the last verification has found wrong. Nil: nothing, or there was none.
	VerifyProblem *string `json:"verify_problem"`
}

// archiveLate is how long something may wait to be archived, and archiveProof how old its last verification may be.
const (
	archiveLate  = 5 * time.Minute
	archiveProof = 32 * 24 * time.Hour
)

func (c *conditions) archive(a *Archive, now time.Time) {
	switch {
	case a.State == "refused":
		c.add(warning.ArchiveRefused, "", "this node must not write to the archive %s: %s", a.URL, text(a.LastError))
	case a.State == "standby" || a.State == "behind":
	case a.State == "away":
		c.add(warning.ArchiveAway, "", "the archive %s takes nothing: %s", a.URL, text(a.LastError))
	case a.LagSeconds > archiveLate.Seconds():
		c.add(warning.ArchiveLate, "", "the archive %s is %.0f seconds and %s behind", a.URL, a.LagSeconds,
			bytesText(&a.LagBytes))
	}
	if a.State == "standby" || a.State == "behind" || a.Made == nil {
		return
	}
	switch {
	case a.VerifyProblem != nil:
		c.add(warning.ArchiveDamaged, "", "the last verification of the archive %s has found: %s", a.URL,
			*a.VerifyProblem)
	case a.Verified == nil && now.Sub(*a.Made) > archiveProof:
		c.add(warning.ArchiveUnverified, "", "the archive %s was never verified, and is %s old", a.URL,
			age(now, a.Made))
	case a.Verified != nil && now.Sub(*a.Verified) > archiveProof:
		c.add(warning.ArchiveUnverified, "", "the archive %s was verified %s ago", a.URL, age(now, a.Verified))
	}
}

// age is how long ago something was, in words.
func age(now time.Time, at *time.Time) string { return ago(now.Sub(*at).Seconds()) }

// Text is how people are shown it.
func (a *Archive) Text(now time.Time) string {
	s := a.State + ", " + a.URL
	if a.Generation != nil {
		s += fmt.Sprintf(", generation %d", *a.Generation)
	}
	if a.LastTid != nil {
		s += fmt.Sprintf(", up to %v", *a.LastTid)
	}
	if a.LagBytes > 0 {
		s += ", " + a.lagText() + " behind"
	}
	s += "; " + a.verifiedText(now)
	if a.LastError != nil {
		s += ": " + *a.LastError
	}
	return s
}

// lagText is how much is not archived.
func (a *Archive) lagText() string {
	s := spanText(&a.LagSeconds) + ", " + bytesText(&a.LagBytes)
	if n := a.LagTransactions; n != nil {
		s += fmt.Sprintf(", %s transactions", grouping(fmt.Sprint(*n)))
	}
	return s
}

// verifiedText is what is known of verifications.
func (a *Archive) verifiedText(now time.Time) string {
	switch {
	case a.Made == nil:
		return "not known when it was verified"
	case a.VerifyProblem != nil:
		return "damaged: " + *a.VerifyProblem
	case a.Verified == nil:
		return "never verified"
	}
	return "verified " + age(now, a.Verified) + " ago"
}

// archiveTile is the number of the page.
func (v *pageView) archiveTile() {
	a := v.Node.Archive
	if a == nil {
		return
	}
	t := tile{Name: "Archive", Value: a.State, Note: a.verifiedText(v.Node.Now)}
	switch {
	case a.LagBytes > 0 && a.State != "standby":
		t.Value = spanText(&a.LagSeconds) + " behind"
		t.Note = a.lagText() + "; " + t.Note
	case a.State == "archiving":
		t.Value = "up to date"
	}
	for _, w := range v.Node.Warnings {
		if strings.HasPrefix(string(w.Code), "archive_") && t.Class != bad {
			t.Class = classOf(w.Severity)
		}
	}
	v.Tiles = append(v.Tiles, t)
}
