package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// An object is a Lease, as far as it is used here.
type object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       spec     `json:"spec"`
}

type metadata struct {
	Name            string            `json:"name"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	UID             string            `json:"uid,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	OwnerReferences json.RawMessage   `json:"ownerReferences,omitempty"` // of others: kept
}

type spec struct {
	Holder      string `json:"holderIdentity,omitempty"`
	Seconds     int64  `json:"leaseDurationSeconds,omitempty"`
	AcquireTime string `json:"acquireTime,omitempty"` // the times are for people
	RenewTime   string `json:"renewTime,omitempty"`
	Transitions int64  `json:"leaseTransitions,omitempty"`
}

// list is what the API server answers to a list.
type list struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Items []object `json:"items"`
}

const (
	apiVersion = "coordination.k8s.io/v1"
	maxAnswer  = 4 << 20 // some thousand member statuses
)

// A statusError is an answer that refuses.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the API server answers %d %s: %s", e.code, http.StatusText(e.code), e.message)
	switch e.code {
	case http.StatusForbidden:
		text += ": let the service account get, list, watch, create, update, patch and delete leases of " +
			"coordination.k8s.io in this namespace"
	case http.StatusUnauthorized:
		text += ": is the token that of a service account of this cluster?"
	}
	return text
}

// is reports whether the API server answered with a code.
func is(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// call sends a request for the object with a name, or for the whole collection, and decodes the answer into result.
func (c *Client) call(ctx context.Context, method, name, query string, body, result any) error {
	answer, err := c.send(ctx, method, name, query, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case answer.StatusCode >= http.StatusMultipleChoices:
		var status struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(text, &status) != nil || status.Message == "" {
			status.Message = strings.TrimSpace(string(text[:min(len(text), 200)]))
		}
		return &statusError{answer.StatusCode, status.Message}
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("the answer is no object of Kubernetes: %w", err)
	}
	return nil
}

// send returns the answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, name, query string, body any) (*http.Response, error) {
	target := c.opt.Server + "/apis/" + apiVersion + "/namespaces/" + url.PathEscape(c.opt.Namespace) + "/leases"
	if name != "" {
		target += "/" + url.PathEscape(name)
	}
	if query != "" {
		target += "?" + query
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if c.opt.TokenFile != "" { // read each time: Kubernetes replaces tokens
		token, err := os.ReadFile(c.opt.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the service account: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := c.http.Do(request)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answer, err
}

// newObject returns an object of this storage that is not there yet.
func (c *Client) newObject(name string) object {
	return object{APIVersion: apiVersion, Kind: "Lease", Metadata: metadata{
		Name: name, Labels: map[string]string{label: c.opt.Name}, Annotations: map[string]string{},
	}}
}

// update replaces an object if its resourceVersion is still that of o, and notes what the API server made of it.
func (c *Client) update(ctx context.Context, o object) (object, error) {
	var now object
	err := c.call(ctx, http.MethodPut, o.Metadata.Name, "", o, &now)
	if err == nil {
		c.notice(now)
	}
	return now, err
}

func (c *Client) create(ctx context.Context, o object) (object, error) {
	var now object
	err := c.call(ctx, http.MethodPost, "", "", o, &now)
	if err == nil {
		c.notice(now)
	}
	return now, err
}

// get returns an object, or a new one where there is none.
func (c *Client) get(ctx context.Context, name string) (object, error) {
	var o object
	err := c.call(ctx, http.MethodGet, name, "", nil, &o)
	switch {
	case is(err, http.StatusNotFound):
		return c.newObject(name), nil
	case err != nil:
		return o, err
	}
	if o.Metadata.Annotations == nil {
		o.Metadata.Annotations = map[string]string{}
	}
	c.notice(o)
	return o, nil
}

// now is a time as Kubernetes writes it.
func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// version is a resourceVersion as a number, which it is in every API server.
func version(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n >= 1<<(63-timeBits) {
		return 0, fmt.Errorf("the resourceVersion %q is no number as the API server of Kubernetes counts them", text)
	}
	return n, nil
}
