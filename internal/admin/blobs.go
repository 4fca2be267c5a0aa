package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/zrsd/zrsd/internal/blobtools"
)

const auditCommand = "blobs-audit"

// An auditLine is one line of the answer to POST /blobs-audit. Exactly one member is there. The last line is a result
// or an error.
type auditLine struct {
	Progress *VerifyProgress    `json:"progress,omitempty"`
	Finding  *blobtools.Finding `json:"finding,omitempty"`
	Result   *blobtools.Summary `json:"result,omitempty"`
	Error    *Refusal           `json:"error,omitempty"`
}

// auditBlobs compares the blobs of a storage with its records, for as long as somebody waits for it.
func (c *commands) auditBlobs(w http.ResponseWriter, r *http.Request) {
	if refusal := permit(r, auditCommand); refusal != nil {
		answer(w, nil, refusal)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &lineWriter{w: w, control: http.NewResponseController(w)}
	if err := out.begin(); err != nil {
		return // the client has disconnected
	}
	told := time.Now()
	progress := func(p VerifyProgress) {
		if now := time.Now(); now.Sub(told) >= progressEvery {
			told = now
			if out.write(auditLine{Progress: &p}) != nil {
				cancel() // the client has disconnected
			}
		}
	}
	sum, err := c.control.AuditBlobs(ctx, r.URL.Query().Get("storage"), func(f *blobtools.Finding) error {
		return out.write(auditLine{Finding: f})
	}, progress)
	last := auditLine{Result: sum}
	if err != nil {
		last = auditLine{Error: refusalOf(err)}
	}
	_ = out.write(last) // else the client has disconnected
}

// AskAudit has the blobs of a storage compared with its records, and returns when that is done. Each finding, and now
// and then the progress, is told.
func AskAudit(ctx context.Context, dial Dialer, storage string, found func(*blobtools.Finding) error,
	tell func(VerifyProgress)) (sum *blobtools.Summary, err error) {
	values := url.Values{"storage": {storage}}
	err = askLines(ctx, dial, "/"+auditCommand, values, ErrCut, func(_ []byte, line *auditLine) error {
		switch {
		case line.Error != nil:
			return line.Error
		case line.Finding != nil:
			return found(line.Finding)
		case line.Progress != nil:
			tell(*line.Progress)
		}
		sum = line.Result
		return nil
	})
	if err == nil && sum == nil {
		err = ErrCut
	}
	return sum, err
}
