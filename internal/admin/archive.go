package admin

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// An Archive is how far the archive of a storage is.
type Archive struct {
	URL          string     `json:"url"`
	State        string     `json:"state"`         // as in package archive
	Generation   *uint64    `json:"generation"`    // that is written; nil: not known yet
	Complete     bool       `json:"complete"`      // the present can be restored from it
	LastTid      *zodb.Tid  `json:"last_tid"`      // in the archive
	Archived     *time.Time `json:"archived"`      // when everything was in the archive last
	LagBytes     int64      `json:"lag_bytes"`     // of the data file that are not in it
	LagSeconds   float64    `json:"lag_seconds"`   // for how long something has not been in it
	Segments     uint64     `json:"segments"`      // that this process has written
	Bytes        int64      `json:"bytes"`         // stored with them
	Blobs        uint64     `json:"blobs"`         // likewise
	BlobBytes    int64      `json:"blob_bytes"`    // likewise
	BlobsMissing uint64     `json:"blobs_missing"` // that this node did not have
	Failures     uint64     `json:"failures"`      // attempts that failed
	LastError    *string    `json:"last_error"`    // nil: nothing is wrong
}

// archiveLate is how long something may wait to be archived.
const archiveLate = 5 * time.Minute

func (c *conditions) archive(a *Archive) {
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
}

// archiveText is how the table shows it.
func archiveText(a *Archive) string {
	s := a.State + ", " + a.URL
	if a.LastTid != nil {
		s += fmt.Sprintf(", up to %v", *a.LastTid)
	}
	if a.LagBytes > 0 {
		s += fmt.Sprintf(", %s and %.0f s behind", bytesText(&a.LagBytes), a.LagSeconds)
	}
	if a.LastError != nil {
		s += ": " + *a.LastError
	}
	return s
}
