package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/zrsd/zrsd/internal/verify"
)

const verifyCommand = "verify"

// A VerifyRequest says how to verify.
type VerifyRequest struct {
	Rate     *int64 // bytes per second, 0: no limit; nil: as configured
	AllBlobs bool   // also those that are not due
}

// VerifyProgress says how far a verification is, in bytes of the data file.
type VerifyProgress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// verify runs a pass for as long as somebody waits for it.
func (c *commands) verify(w http.ResponseWriter, r *http.Request) {
	req, storage, ok := asked(w, r, verifyCommand, verifyRequest)
	if !ok {
		return
	}
	answerLong(w, r, verifyCommand, func(ctx context.Context, progress func(VerifyProgress)) (verify.Pass, error) {
		return c.control.Verify(ctx, storage, req, progress)
	})
}

// verifyRequest reads a VerifyRequest as values writes it.
func verifyRequest(values url.Values) (req VerifyRequest, err error) {
	if text := values.Get("rate"); text != "" {
		rate, err := strconv.ParseInt(text, 10, 64)
		if err != nil || rate < 0 {
			return req, &Refusal{Invalid, fmt.Sprintf("rate %.40q: give a number of bytes per second", text)}
		}
		req.Rate = &rate
	}
	if text := values.Get("all_blobs"); text != "" {
		if req.AllBlobs, err = strconv.ParseBool(text); err != nil {
			return req, &Refusal{Invalid, fmt.Sprintf("all_blobs %.20q: give true or false", text)}
		}
	}
	return req, nil
}

func (req *VerifyRequest) values() url.Values {
	values := url.Values{}
	if req.Rate != nil {
		values.Set("rate", strconv.FormatInt(*req.Rate, 10))
	}
	if req.AllBlobs {
		values.Set("all_blobs", "true")
	}
	return values
}

// AskVerify has a storage verified, and returns when that is done. When ctx ends before, the pass is given up. Each
// line of the answer is told as it came, and with its progress, if it is about that.
func AskVerify(ctx context.Context, dial Dialer, storage string, req VerifyRequest,
	tell func(line []byte, progress *VerifyProgress) error) (*verify.Pass, error) {
	return askLong[VerifyProgress, verify.Pass](ctx, dial, "/"+verifyCommand, storage, req.values(), tell)
}
