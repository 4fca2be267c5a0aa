package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/cluster/lease/kubernetes"
)

// An apiServer does with Lease objects what that of Kubernetes does: optimistic concurrency by resourceVersion, label
// selectors, and watches from a resourceVersion on.
type apiServer struct {
	*httptest.Server

	mu      sync.Mutex
	version int64
	objects map[string]map[string]any
	changed chan struct{}
	token   string
	fault   func(*http.Request) fault // nil: none
}

// A fault is what becomes of one request.
type fault int

const (
	none       fault = iota
	lostAnswer       // it is done, and the connection ends without an answer
	fails            // 500, and nothing is done
	gone             // 410, as for a watch from a resourceVersion that is compacted away
)

const leases = "/apis/coordination.k8s.io/v1/namespaces/plone/leases"

func startServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{version: 1, objects: map[string]map[string]any{}, changed: make(chan struct{}), token: "first"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// open returns a client with a token file of its own.
func (s *apiServer) open(t *testing.T) *kubernetes.Client {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("first\n"), 0o600))
	return s.openWith(t, token)
}

func (s *apiServer) openWith(t *testing.T, token string) *kubernetes.Client {
	t.Helper()
	c, err := kubernetes.Open(kubernetes.Options{Server: s.URL, Namespace: "plone", Name: "zrsd-1", TokenFile: token})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// change lets f change an object, as another tool would; nil removes it.
func (s *apiServer) change(name string, f func(map[string]any) map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(name, f(s.objects[name]))
}

func (s *apiServer) setFault(f func(*http.Request) fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *apiServer) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// store keeps an object under a new resourceVersion. s.mu is held.
func (s *apiServer) store(name string, o map[string]any) {
	s.version++
	if o == nil {
		delete(s.objects, name)
	} else {
		meta(o)["resourceVersion"] = strconv.FormatInt(s.version, 10)
		s.objects[name] = o
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func meta(o map[string]any) map[string]any { return o["metadata"].(map[string]any) }

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	what := none
	if s.fault != nil {
		what = s.fault(r)
	}
	token := s.token
	s.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(w, http.StatusUnauthorized, "the token is another one")
		return
	case what == fails:
		refuse(w, http.StatusInternalServerError, "etcd is away")
		return
	case what == gone:
		refuse(w, http.StatusGone, "too old resource version")
		return
	}
	if r.URL.Query().Get("watch") != "" {
		s.watch(w, r)
		return
	}
	code, answer := s.answer(r)
	if what == lostAnswer {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(failure(message))
}

func failure(message string) map[string]any {
	return map[string]any{"kind": "Status", "message": message}
}

// answer does what a request asks for, but for watches.
func (s *apiServer) answer(r *http.Request) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, leases), "/")
	var body map[string]any
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return http.StatusBadRequest, failure(err.Error())
		}
	}
	now, found := s.objects[name]
	switch {
	case r.Method == http.MethodGet && name == "":
		return http.StatusOK, s.list(r)
	case r.Method == http.MethodPost:
		name = meta(body)["name"].(string)
		if s.objects[name] != nil {
			return http.StatusConflict, failure(name + " exists")
		}
		s.store(name, body)
		return http.StatusCreated, body
	case !found:
		return http.StatusNotFound, failure(name + " not found")
	case r.Method == http.MethodGet:
		return http.StatusOK, now
	case r.Method == http.MethodPatch:
		merged := merge(now, body)
		s.store(name, merged)
		return http.StatusOK, merged
	}
	want := body
	if r.Method == http.MethodDelete {
		want = map[string]any{"metadata": body["preconditions"]}
	}
	if meta(want)["resourceVersion"] != meta(now)["resourceVersion"] {
		return http.StatusConflict, failure("the object has been modified")
	}
	if r.Method == http.MethodDelete {
		body = nil
	}
	s.store(name, body)
	return http.StatusOK, body
}

// merge is that of application/merge-patch+json. What was there is left as it is: it may be on its way to a client.
func merge(into, patch map[string]any) map[string]any {
	merged := maps.Clone(into)
	for key, value := range patch {
		inner, ok := value.(map[string]any)
		before, was := merged[key].(map[string]any)
		if ok && was {
			merged[key] = merge(before, inner)
		} else {
			merged[key] = value
		}
	}
	return merged
}

// list is the answer for a label selector of the form key=value. s.mu is held.
func (s *apiServer) list(r *http.Request) any {
	key, value, _ := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
	items := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if labels, ok := meta(s.objects[name])["labels"].(map[string]any); ok && labels[key] == value {
			items = append(items, s.objects[name])
		}
	}
	return map[string]any{"metadata": map[string]any{"resourceVersion": fmt.Sprint(s.version)}, "items": items}
}

// watch answers with an event as soon as anything has changed after the resourceVersion. The real one has the changes
// of matching objects only, one after the other.
func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	from := r.URL.Query().Get("resourceVersion")
	for {
		s.mu.Lock()
		is, changed := fmt.Sprint(s.version), s.changed
		s.mu.Unlock()
		if is != from {
			fmt.Fprintln(w, `{"type":"MODIFIED","object":{}}`)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
