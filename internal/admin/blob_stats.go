package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/zrsd/zrsd/internal/blobtools"
)

const statsCommand = "blobs-stats"

// A StatsQuery says what is counted of the blobs of a storage, beside all of them: what a pack would remove that leaves
// so many days of history, and whether it drops what cannot be reached.
type StatsQuery struct {
	Days int
	GC   bool
}

const maxStatsDays = 100_000

// A statsLine is one line of the answer to POST /blobs-stats. Exactly one member is there. The last line is a result or
// an error.
type statsLine struct {
	Progress *VerifyProgress  `json:"progress,omitempty"`
	Result   *blobtools.Stats `json:"result,omitempty"`
	Error    *Refusal         `json:"error,omitempty"`
}

// countBlobs counts the blobs of a storage, for as long as somebody waits for it. It is a question about what is
// inside.
func (c *commands) countBlobs(w http.ResponseWriter, r *http.Request) {
	if refusal := permit(r, statsCommand); refusal != nil {
		answer(w, nil, refusal)
		return
	}
	values := r.URL.Query()
	q, err := statsQuery(values)
	if err != nil {
		answer(w, nil, err)
		return
	}
	if busy := c.beginInside(); busy != nil {
		answer(w, nil, busy)
		return
	}
	defer c.endInside()
	doLong(w, r, statsCommand, func(ctx context.Context, progress func(VerifyProgress)) (*blobtools.Stats, error) {
		return c.control.CountBlobs(ctx, values.Get("storage"), q, progress)
	}, func(out *lineWriter, stats *blobtools.Stats) {
		_ = out.write(statsLine{Result: stats}) // else the client has disconnected
	})
}

func statsQuery(values url.Values) (q StatsQuery, err error) {
	q.Days, err = strconv.Atoi(values.Get("days"))
	if err == nil {
		q.GC, err = strconv.ParseBool(values.Get("gc"))
	}
	if err == nil && (q.Days < 0 || q.Days > maxStatsDays) {
		err = fmt.Errorf("days is %d: give a number from 0 to %d", q.Days, maxStatsDays)
	}
	if err != nil {
		return q, &Refusal{Invalid, fmt.Sprintf("not a question: give days and gc: %v", err)}
	}
	return q, nil
}

// AskStats has a node count the blobs of a storage. The count ends when ctx does.
func AskStats(ctx context.Context, dial Dialer, storage string, q StatsQuery, tell func(VerifyProgress)) (
	stats *blobtools.Stats, err error) {
	values := url.Values{"storage": {storage}, "days": {strconv.Itoa(q.Days)}, "gc": {strconv.FormatBool(q.GC)}}
	err = askLines(ctx, dial, "/"+statsCommand, values, ErrCut, func(_ []byte, line *statsLine) error {
		switch {
		case line.Error != nil:
			return line.Error
		case line.Progress != nil:
			tell(*line.Progress)
		}
		stats = line.Result
		return nil
	})
	if err == nil && stats == nil {
		err = ErrCut
	}
	return stats, err
}
