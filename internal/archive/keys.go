package archive

import (
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"
)

// ReadKeys returns the keys of recipients, in age's text form, and of a file of identities; empty: none.
func ReadKeys(recipients []string, identities string) (keys Keys, err error) {
	for _, text := range recipients {
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return keys, fmt.Errorf("recipient %.80q: %w; age-keygen prints one that begins with age1", text, err)
		}
		keys.Recipients = append(keys.Recipients, r...)
	}
	if identities == "" {
		return keys, nil
	}
	f, err := os.Open(identities)
	if err != nil {
		return keys, err
	}
	defer f.Close() //nolint:errcheck // only read
	if keys.Identities, err = age.ParseIdentities(f); err != nil {
		return keys, fmt.Errorf("age identities in %s: %w", identities, err)
	}
	return keys, nil
}

// WriteStamp writes when a verification has found nothing wrong, in the text format of Prometheus.
func WriteStamp(path string, r *VerifyReport, now time.Time) error {
	text := fmt.Sprintf(
		"# HELP zrsd_archive_verified_timestamp_seconds When everything in the archive was verified last.\n"+
			"# TYPE zrsd_archive_verified_timestamp_seconds gauge\n"+
			"zrsd_archive_verified_timestamp_seconds %d\n"+
			"# HELP zrsd_archive_verified_bytes How much was verified then.\n"+
			"# TYPE zrsd_archive_verified_bytes gauge\n"+
			"zrsd_archive_verified_bytes %d\n",
		now.Unix(),
		r.Bytes+r.BlobBytes,
	)
	part := path + ".tmp"
	if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}
