// Package kubernetestest has an API server of Kubernetes for tests, as far as Leases go: each test, and each process of
// one, can use the same.
package kubernetestest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Server does with Lease objects what that of Kubernetes does: optimistic concurrency by resourceVersion, label
// selectors, and watches from a resourceVersion on.
type Server struct {
	*httptest.Server

	mu      sync.Mutex
	version int64
	objects map[string]map[string]any
	changed chan struct{}
	token   string
	fault   func(*http.Request) Fault // nil: none
}

// A Fault is what becomes of one request.
type Fault int

// The faults.
const (
	None       Fault = iota
	LostAnswer       // it is done, and the connection ends without an answer
	Fails            // 500, and nothing is done
	Gone             // 410, as for a watch from a resourceVersion that is compacted away
)

// leases is the path of the objects of the namespace plone.
const leases = "/apis/coordination.k8s.io/v1/namespaces/plone/leases"

// Token is what clients have to send, until SetToken.
const Token = "first"

// New returns a server that answers until Close, over TLS if certificates are wanted.
func New(overTLS bool) *Server {
	s := &Server{version: 1, objects: map[string]map[string]any{}, changed: make(chan struct{}), token: Token}
	if overTLS {
		s.Server = httptest.NewTLSServer(s)
	} else {
		s.Server = httptest.NewServer(s)
	}
	return s
}

// SetToken has clients send another token from now on.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// Relabel changes the labels of an object that is there, as other tools do, just before a request. It is for faults.
func (s *Server) Relabel(name string, labels map[string]any) {
	if o := s.objects[name]; o != nil {
		s.store(name, Merge(o, map[string]any{"metadata": map[string]any{"labels": labels}}))
	}
}

// Change lets f change an object, as another tool would; nil removes it.
func (s *Server) Change(name string, f func(map[string]any) map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(name, f(s.objects[name]))
}

// SetFault has f say what becomes of each request, with what an API server keeps locked; nil: nothing.
func (s *Server) SetFault(f func(*http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Names returns the names of all objects.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// store keeps an object under a new resourceVersion. s.mu is held.
func (s *Server) store(name string, o map[string]any) {
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

// ServeHTTP is http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	what := None
	if s.fault != nil {
		what = s.fault(r)
	}
	token := s.token
	s.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(w, http.StatusUnauthorized, "the token is another one")
		return
	case what == Fails:
		refuse(w, http.StatusInternalServerError, "etcd is away")
		return
	case what == Gone:
		refuse(w, http.StatusGone, "too old resource version")
		return
	}
	if r.URL.Query().Get("watch") != "" {
		s.watch(w, r)
		return
	}
	code, answer := s.answer(r)
	if what == LostAnswer {
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
func (s *Server) answer(r *http.Request) (int, any) {
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
		merged := Merge(now, body)
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

// Merge is that of application/merge-patch+json. What was there is left as it is: it may be on its way to a client.
func Merge(into, patch map[string]any) map[string]any {
	merged := maps.Clone(into)
	for key, value := range patch {
		inner, ok := value.(map[string]any)
		before, was := merged[key].(map[string]any)
		if ok && was {
			merged[key] = Merge(before, inner)
		} else {
			merged[key] = value
		}
	}
	return merged
}

// list is the answer for a label selector of the form key=value. s.mu is held.
func (s *Server) list(r *http.Request) any {
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
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
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
