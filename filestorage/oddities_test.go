package filestorage

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/zodb"
)

// opened returns what is logged when the data file is opened at this time.
func opened(t *testing.T, from string, now time.Time) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Open(t.Context(), filepath.Join(dir, "Data.fs"), Options{
		Logger: hclog.New(&hclog.LoggerOptions{Output: &log}), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestALastTransactionInTheFutureIsToldAtOpen(t *testing.T) {
	from := filepath.Join("..", "testdata", "filestorage", "one-txn")
	last := zodb.Tid(0x03f8658025555555).Time()
	if log := opened(
		t,
		from,
		last.Add(-time.Hour),
	); !strings.Contains(log, "in the future") ||
		!strings.Contains(log, "1h0m") {
		t.Errorf("an hour ahead: %s", log)
	}
	if log := opened(t, from, last.Add(time.Hour)); strings.Contains(log, "in the future") {
		t.Errorf("an hour ago: %s", log)
	}
}

func TestAFileOfPython2IsToldAtOpen(t *testing.T) {
	for name, told := range map[string]bool{"fs21": true, "one-txn": false} {
		log := opened(t, filepath.Join("..", "testdata", "filestorage", name), time.Now())
		if strings.Contains(log, "written by Python 2") != told || told && !strings.Contains(log, "zodbupdate") {
			t.Errorf("%s: %s", name, log)
		}
	}
}
