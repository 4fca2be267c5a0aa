package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/zrsd/zrsd/internal/heal"
)

const healCommand = "heal"

// A HealRequest says how to heal.
type HealRequest struct {
	DryRun bool   // nothing is written
	Rate   *int64 // bytes per second that the verification reads, 0: no limit; nil: as configured
}

// Heal is what a node knows of damage in its copy.
type Heal struct {
	Mode        string     `json:"mode"`        // auto or ask: whether it is healed without an operator
	Pending     int64      `json:"pending"`     // damaged parts that are known
	Healed      int64      `json:"healed"`      // since the process began
	Quarantined int64      `json:"quarantined"` // likewise: damaged parts that are kept in quarantine/
	Failed      int64      `json:"failed"`      // likewise: attempts that failed
	Answered    int64      `json:"answered"`    // likewise: loads of damaged parts that another node has answered
	Unanswered  int64      `json:"unanswered"`  // likewise: that failed
	Last        *time.Time `json:"last"`        // when it was tried last
	Next        *time.Time `json:"next_try"`    // nil: nothing is to be tried
	Error       *string    `json:"error"`       // why one of the pending parts could not be healed
}

// heal verifies and heals for as long as somebody waits for it.
func (c *commands) heal(w http.ResponseWriter, r *http.Request) {
	req, storage, ok := asked(w, r, healCommand, healRequest)
	if !ok {
		return
	}
	answerLong(w, r, healCommand, func(ctx context.Context, progress func(VerifyProgress)) (heal.Report, error) {
		return c.control.Heal(ctx, storage, req, progress)
	})
}

// healRequest reads a HealRequest as values writes it.
func healRequest(values url.Values) (req HealRequest, err error) {
	verifying, err := verifyRequest(values)
	req.Rate = verifying.Rate
	if text := values.Get("dry_run"); err == nil && text != "" {
		if req.DryRun, err = strconv.ParseBool(text); err != nil {
			return req, &Refusal{Invalid, fmt.Sprintf("dry_run %.20q: give true or false", text)}
		}
	}
	return req, err
}

func (req *HealRequest) values() url.Values {
	verifying := VerifyRequest{Rate: req.Rate}
	values := verifying.values()
	if req.DryRun {
		values.Set("dry_run", "true")
	}
	return values
}

// AskHeal has a storage verified and healed, and returns when that is done; for the rest see AskVerify.
func AskHeal(ctx context.Context, dial Dialer, storage string, req HealRequest,
	tell func(line []byte, progress *VerifyProgress) error) (*heal.Report, error) {
	return askLong[VerifyProgress, heal.Report](ctx, dial, "/"+healCommand, storage, req.values(), tell)
}
