package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/zrsd/zrsd/blobstore"
)

const convertCommand = "blobs-convert"

// A ConvertQuery says how the layout of a blob directory is changed.
type ConvertQuery struct {
	To     string // the new layout
	Finish bool   // remove the old names, too
	Dry    bool   // change nothing, count
	Rate   int    // blobs a second, from 1
}

const maxConvertRate = 1_000_000

// convertBlobs changes the layout of the blob directory of a storage, for as long as somebody waits for it.
func (c *commands) convertBlobs(w http.ResponseWriter, r *http.Request) {
	q, storage, ok := asked(w, r, convertCommand, convertQuery)
	if !ok {
		return
	}
	answerLong(w, r, convertCommand,
		func(ctx context.Context, progress func(blobstore.Conversion)) (blobstore.Conversion, error) {
			return c.control.ConvertBlobs(ctx, storage, q, progress)
		})
}

func convertQuery(values url.Values) (q ConvertQuery, err error) {
	q.To = values.Get("to")
	q.Rate, err = strconv.Atoi(values.Get("rate"))
	if err == nil {
		q.Finish, err = strconv.ParseBool(values.Get("finish"))
	}
	if err == nil {
		q.Dry, err = strconv.ParseBool(values.Get("dry"))
	}
	switch {
	case err != nil:
	case q.To != blobstore.Bushy && q.To != blobstore.Lawn:
		err = fmt.Errorf("to is %.20q: give %s or %s", q.To, blobstore.Bushy, blobstore.Lawn)
	case q.Rate < 1 || q.Rate > maxConvertRate:
		err = fmt.Errorf("rate is %d: give a number from 1 to %d", q.Rate, maxConvertRate)
	}
	if err != nil {
		return q, &Refusal{Invalid, fmt.Sprintf("not a conversion: give to, finish, dry and rate: %v", err)}
	}
	return q, nil
}

// AskConvert has a node change the layout of the blob directory of a storage. It ends when ctx does, and another call
// goes on.
func AskConvert(ctx context.Context, dial Dialer, storage string, q ConvertQuery, tell func(blobstore.Conversion)) (
	*blobstore.Conversion, error) {
	values := url.Values{
		"to": {q.To}, "rate": {strconv.Itoa(q.Rate)},
		"finish": {strconv.FormatBool(q.Finish)}, "dry": {strconv.FormatBool(q.Dry)},
	}
	return askLong[blobstore.Conversion, blobstore.Conversion](ctx, dial, "/"+convertCommand, storage, values,
		progressTo(tell))
}
