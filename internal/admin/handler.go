package admin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/warning"
)

// maxScrapes is how many scrapes may run at a time; more are answered with 503.
const maxScrapes = 4

// Handler answers the paths of the package comment about src, and has control do commands. Without one there are none.
// It answers under IP addresses, the names of this machine and the given ones.
func Handler(src Source, control Control, names ...string) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registerStorages(registry, src)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "zrsd_panics_recovered_total",
			Help: "Panics that cost one connection or request instead of the process."}, func() float64 {
			return float64(recovered.Count())
		}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answerStatus(w, r, src) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK,
			"alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, src.Status()) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "zrsd: see /status, /metrics, /healthz, /readyz, /clients, /undo-log")
	})
	if control != nil {
		(&commands{control, make(chan struct{}, maxListings)}).register(mux)
	}
	return hostsOf(names).check(mux)
}

// registerStorages has the metrics of one storage, or those of several with their names as a label.
func registerStorages(registry prometheus.Registerer, src Source) {
	several, are := src.(Sources)
	if !are {
		registry.MustRegister(newCollector(src))
		return
	}
	for _, name := range several.Names() {
		prometheus.WrapRegistererWith(prometheus.Labels{"storage": name}, registry).
			MustRegister(newCollector(several.Storage(name)))
	}
}

// answerStatus answers about the process, or about the storage that ?storage= names.
func answerStatus(w http.ResponseWriter, r *http.Request, src Source) {
	name, named := r.URL.Query()["storage"]
	if several, are := src.(Sources); are && named {
		if src = several.Storage(name[0]); src == nil {
			writeText(w, http.StatusNotFound, fmt.Sprintf("there is no storage of that name: there are %q",
				several.Names()))
			return
		}
	}
	writeStatus(w, src.Status())
}

func writeStatus(w http.ResponseWriter, st Status) {
	if st.Secondaries == nil {
		st.Secondaries = []Secondary{}
	}
	if st.Disconnected == nil {
		st.Disconnected = []Secondary{}
	}
	if st.Reseeds == nil {
		st.Reseeds = []Reseed{}
	}
	if st.SetAside == nil {
		st.SetAside = []SetAside{}
	}
	if st.Troubles == nil {
		st.Troubles = []Trouble{}
	}
	if st.Warnings == nil {
		st.Warnings = []warning.Warning{}
	}
	if st.Storage.Disks == nil {
		st.Storage.Disks = []Disk{}
	}
	if st.Totals.Refusals == nil {
		st.Totals.Refusals = map[string]int64{}
	}
	body, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		writeText(w, http.StatusInternalServerError, fmt.Sprintf("status cannot be written as JSON: %v", err))
		return
	}
	write(w, http.StatusOK, "application/json", append(body, '\n'))
}

func writeReady(w http.ResponseWriter, st Status) {
	switch {
	case st.Ready:
		writeText(w, http.StatusOK, "ready")
	case st.NotReady != nil:
		writeText(w, http.StatusServiceUnavailable, "not ready: "+*st.NotReady)
	default:
		writeText(w, http.StatusServiceUnavailable, "not ready")
	}
}

func writeText(w http.ResponseWriter, code int, text string) {
	write(w, code, "text/plain; charset=utf-8", []byte(text+"\n"))
}

// write sends a body whose type browsers must not guess and proxies must not keep. Errors are those of a client that
// has disconnected, and are ignored.
func write(w http.ResponseWriter, code int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body) //nolint:gosec // plain text or JSON, which browsers must not take for anything else
}
