package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// HealthRoles are what AskHealth can be asked for.
var HealthRoles = []string{"live", "ready", "primary", "replica"}

// AskHealth asks a node what a load balancer asks it: whether it is live, ready, primary or a replica, which may be
// lag behind; 0: as ready says. text has the node's reason.
func AskHealth(ctx context.Context, dial Dialer, storage, role string, lag time.Duration) (ok bool, text string,
	err error) {
	path := "/" + role
	if slices.Contains(HealthRoles[:2], role) {
		path += "z"
	}
	values := url.Values{"storage": {storage}}
	if lag > 0 {
		values.Set("lag", lag.String())
	}
	err = send(ctx, dial, http.MethodGet, path, values, func(resp *http.Response) error {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		text = clean(strings.TrimSpace(string(body)))
		ok = resp.StatusCode == http.StatusOK
		switch {
		case err != nil:
			return fmt.Errorf("reading the answer: %w", err)
		case ok, resp.StatusCode == http.StatusServiceUnavailable:
			return nil
		case resp.StatusCode == http.StatusNotFound && storage != "":
			return &Refusal{NoStorage, text}
		}
		return fmt.Errorf("%w (it answered %s)", ErrNoAnswer, statusOf(resp, body))
	})
	return ok, text, err
}
