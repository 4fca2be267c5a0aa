package main

import (
	"time"

	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/zodb"
)

// momentHelp says how a transaction, or a time, is given.
const momentHelp = `A TID is 16 hexadecimal digits, as it is printed. A TIME is 2026-01-31, "2026-01-31 14:05" or
2026-01-31T14:05:09Z; without a zone it is this machine's. A day alone is its beginning after --from, and its end
after --to.`

// optionalMoment reads the tid or the time of a flag, 0 where it was not given.
func optionalMoment(flag, text string, end bool) (zodb.Tid, error) {
	if text == "" {
		return 0, nil
	}
	tid, err := moment.ParseFixed(text, time.Local, end)
	return tid, flagError(flag, err)
}
