package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

const applyUntilCommand = "apply-until"

// An ApplyUntilRequest says how far clients of a secondary with an apply delay get to see. Exactly one of the first two
// is set.
type ApplyUntilRequest struct {
	Until  zodb.Tid // nothing after this one
	Resume bool     // whatever is older than the delay
	DryRun bool
}

// An ApplyUntil is what became of that, or on a dry run what would.
type ApplyUntil struct {
	Done     bool      `json:"done"`      // false: it was a dry run, and nothing was changed
	Until    *zodb.Tid `json:"until_tid"` // nil: nothing holds it
	Shown    *zodb.Tid `json:"shown_tid"` // the last transaction that clients see now; nil: none
	Received *zodb.Tid `json:"last_tid"`  // the last one that was received
	Last     *TxnInfo  `json:"last_shown"`
	First    *TxnInfo  `json:"first_hidden"` // nil: it was not received yet, or there will be none
}

// A TxnInfo describes one transaction.
type TxnInfo struct {
	Tid         zodb.Tid  `json:"tid"`
	Time        time.Time `json:"time"`
	User        string    `json:"user"`
	Description string    `json:"description"`
}

func (c *commands) applyUntil(w http.ResponseWriter, r *http.Request) {
	req, storage, ok := asked(w, r, applyUntilCommand, applyUntilRequest)
	if !ok {
		return
	}
	doc, err := c.control.ApplyUntil(r.Context(), storage, req)
	answer(w, doc, err)
}

// applyUntilRequest reads an ApplyUntilRequest as values writes it.
func applyUntilRequest(values url.Values) (req ApplyUntilRequest, err error) {
	req = ApplyUntilRequest{Resume: is(values, "resume"), DryRun: is(values, "dry_run")}
	if text := values.Get("until"); text != "" {
		if req.Until, err = zodb.ParseTid(text); err != nil {
			return req, &Refusal{Invalid, fmt.Sprintf("until: %v", err)}
		}
	}
	if (req.Until == 0) == !req.Resume {
		return req, &Refusal{Invalid, "give until, a tid, or resume=true"}
	}
	return req, nil
}

func (req *ApplyUntilRequest) values() url.Values {
	values := url.Values{}
	if req.Until != 0 {
		values.Set("until", req.Until.String())
	}
	for name, yes := range map[string]bool{"resume": req.Resume, "dry_run": req.DryRun} {
		if yes {
			values.Set(name, "true")
		}
	}
	return values
}

// AskApplyUntil has a delayed secondary show no more than that. The answer is returned as it came and decoded.
func AskApplyUntil(ctx context.Context, dial Dialer, storage string, req ApplyUntilRequest) (raw []byte,
	doc *ApplyUntil, err error) {
	values := req.values()
	values.Set("storage", storage)
	doc = new(ApplyUntil)
	raw, err = documentBy(ctx, dial, http.MethodPost, "/"+applyUntilCommand, values, doc)
	return raw, doc, err
}
