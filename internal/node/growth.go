package node

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/zodb"
)

// For how long, and at which steps, it is found out how the data file grew before the process began.
const (
	growthFor  = 14 * 24 * time.Hour
	growthStep = 12 * time.Hour
)

// growth returns how long the data file was at times of the past. Its transactions say that: nothing has to be kept for
// it. What cannot be read is left out, since somebody else will tell of it.
func growth(ctx context.Context, st *filestorage.Storage, now time.Time) (list []admin.Size) {
	for at := now.Add(-growthFor); !at.After(now); at = at.Add(growthStep) {
		tid, err := zodb.TidFromTime(at)
		if err != nil {
			continue
		}
		if size, err := st.SizeAt(ctx, tid); err == nil && size > emptyFile {
			list = append(list, admin.Size{At: at.UTC(), Bytes: size})
		}
	}
	return list
}

// emptyFile is the size of a data file without transactions.
const emptyFile = 4
