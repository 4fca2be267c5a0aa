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

// countBlobs counts the blobs of a storage, for as long as somebody waits for it. It is a question about what is
// inside.
func (c *commands) countBlobs(w http.ResponseWriter, r *http.Request) {
	q, storage, ok := asked(w, r, statsCommand, statsQuery)
	if !ok {
		return
	}
	if !c.beginInside(w) {
		return
	}
	defer c.endInside()
	answerLong(w, r, statsCommand, func(ctx context.Context, progress func(VerifyProgress)) (*blobtools.Stats, error) {
		return c.control.CountBlobs(ctx, storage, q, progress)
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
	*blobtools.Stats, error) {
	values := url.Values{"days": {strconv.Itoa(q.Days)}, "gc": {strconv.FormatBool(q.GC)}}
	return askLong[VerifyProgress, blobtools.Stats](ctx, dial, "/"+statsCommand, storage, values, progressTo(tell))
}
