package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A probe answers a load balancer or a supervisor about one storage.
type probe func(st *Status, lag *time.Duration) (ok bool, text string)

// probes are the paths for load balancers and supervisors. Each answers to GET, HEAD and OPTIONS, with 200 or 503.
var probes = map[string]probe{
	"/livez":   isLive,
	"/readyz":  isReady,
	"/primary": isPrimary,
	"/replica": isReplica,
}

// alivePath answers 200 while the process runs, whatever it does.
const alivePath = "/healthz"

// isProbe reports whether a path is answered however many requests there are: a load balancer would take away a node
// that only has much to do.
func isProbe(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	_, is := probes["/"+first]
	return is || path == alivePath
}

func registerProbes(mux *http.ServeMux, src Source) {
	for path, ask := range probes {
		for _, method := range []string{http.MethodGet, http.MethodOptions} { // with GET comes HEAD
			handle := func(w http.ResponseWriter, r *http.Request) { answerProbe(w, r, src, ask) }
			mux.HandleFunc(method+" "+path, handle)
			mux.HandleFunc(method+" "+path+"/{storage}", handle)
		}
	}
	alive := func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "alive") }
	mux.HandleFunc("GET "+alivePath, alive)
	mux.HandleFunc("OPTIONS "+alivePath, alive)
}

// answerProbe answers about one storage, or about all: then it is yes if it is for each.
func answerProbe(w http.ResponseWriter, r *http.Request, src Source, ask probe) {
	values := r.URL.Query()
	var lag *time.Duration
	if given := values["lag"]; given != nil {
		d, err := time.ParseDuration(given[0])
		if err != nil || d < 0 {
			writeText(w, http.StatusBadRequest, fmt.Sprintf("lag=%.40q: give a duration such as 10s", given[0]))
			return
		}
		lag = &d
	}
	name := r.PathValue("storage")
	if name == "" {
		name = values.Get("storage")
	}
	if why := noStorage(src, name); why != "" {
		writeText(w, http.StatusNotFound, why)
		return
	}
	several, are := src.(Sources)
	names := []string{name}
	if are && name == "" {
		names = several.Names()
	}
	code, text := http.StatusOK, ""
	for _, one := range names {
		from := src
		if are {
			from = several.Storage(one)
		}
		st := from.Status()
		ok, says := ask(&st, lag)
		if len(names) > 1 {
			says = fmt.Sprintf("storage %s: %s", one, says)
		}
		if !ok && code == http.StatusOK {
			code, text = http.StatusServiceUnavailable, says
		}
		if text == "" {
			text = says
		}
	}
	writeText(w, code, text)
}

// isLive reports whether starting the process again can be of no use.
func isLive(st *Status, _ *time.Duration) (ok bool, text string) {
	if st.NotLive != nil {
		return false, "hangs: " + *st.NotLive
	}
	return true, "alive"
}

func isReady(st *Status, _ *time.Duration) (ok bool, text string) {
	switch {
	case st.Ready:
		return true, "ready"
	case st.NotReady != nil:
		return false, "not ready: " + *st.NotReady
	}
	return false, "not ready"
}

// isPrimary reports whether clients can commit here.
func isPrimary(st *Status, _ *time.Duration) (ok bool, text string) {
	if st.Role == "secondary" || st.ReadOnly {
		return false, "not primary: " + st.Role
	}
	if ok, text = isReady(st, nil); !ok {
		return false, text
	}
	return true, st.Role
}

// isReplica reports whether clients may read here who want to see what was committed up to lag ago; nil: as /readyz
// says.
func isReplica(st *Status, lag *time.Duration) (ok bool, text string) {
	u := st.Upstream
	switch {
	case st.Role != "secondary" || u == nil:
		return false, "not a replica: " + st.Role
	case lag == nil:
		ok, text = isReady(st, nil)
	case slices.Contains([]string{"opening", "refused", "failed", "stalled", "stopped"}, u.State):
		return false, u.State
	case u.Lag.Seconds == nil:
		return false, u.State + ": not yet known how far behind"
	default:
		ok = *u.Lag.Seconds <= lag.Seconds()
		text = fmt.Sprintf("%.1f seconds behind, the limit is %v", *u.Lag.Seconds, *lag)
	}
	if ok {
		text = "replica"
	}
	return ok, text
}
