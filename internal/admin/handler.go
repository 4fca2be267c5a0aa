package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/warning"
)

// clusterTimeout is how long other nodes are waited for, before what is known of them is answered.
const clusterTimeout = 3 * time.Second

// maxScrapes is how many scrapes may run at a time; more are answered with 503.
const maxScrapes = 4

// Handler answers the paths of the package comment about src, and has control do commands. Without one there are none.
// It answers under IP addresses, the names of this machine and the given ones.
func Handler(src Source, control Control, names ...string) http.Handler {
	return handlerOf(src, control, newHistories(src), names)
}

// handlerOf is Handler with what remembers the last hour.
func handlerOf(src Source, control Control, past histories, names []string) http.Handler {
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
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, r *http.Request) { answerCluster(w, r, src) })
	registerProbes(mux, src)
	(&page{src: src, control: control, histories: past, making: make(chan struct{}, maxPages)}).register(mux)
	if control != nil {
		(&commands{control, make(chan struct{}, maxListings), make(chan struct{}, maxFeeds),
			make(chan struct{}, maxInside)}).register(mux)
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
	if one := sourceOf(w, r, src); one != nil {
		writeStatus(w, one.Status())
	}
}

// sourceOf returns src, or that of the storage that ?storage= names. It is nil where there is none of that name, which
// has been answered then.
func sourceOf(w http.ResponseWriter, r *http.Request, src Source) Source {
	name := r.URL.Query().Get("storage")
	if why := noStorage(src, name); why != "" {
		writeText(w, http.StatusNotFound, why)
		return nil
	}
	if several, are := src.(Sources); are && name != "" {
		return several.Storage(name)
	}
	return src
}

// answerCluster answers what is known of the nodes of a storage: of the first one, where none is named.
func answerCluster(w http.ResponseWriter, r *http.Request, src Source) {
	one := sourceOf(w, r, src)
	if one == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), clusterTimeout)
	defer cancel()
	writeJSON(w, ClusterOf(ctx, firstOf(one)))
}

// firstOf returns the source of the first storage of several.
func firstOf(src Source) Source {
	if several, are := src.(Sources); are {
		return several.Storage(several.Names()[0])
	}
	return src
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
	if st.AsOf == nil {
		st.AsOf = []Moment{}
	}
	if st.Troubles == nil {
		st.Troubles = []Trouble{}
	}
	if st.Warnings == nil {
		st.Warnings = []warning.Warning{}
	}
	if st.Storage.Growth == nil {
		st.Storage.Growth = []Size{}
	}
	if st.Storage.Disks == nil {
		st.Storage.Disks = []Disk{}
	}
	if st.Totals.Refusals == nil {
		st.Totals.Refusals = map[string]int64{}
	}
	writeJSON(w, st)
}

func writeJSON(w http.ResponseWriter, document any) {
	body, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		writeText(w, http.StatusInternalServerError, fmt.Sprintf("this cannot be written as JSON: %v", err))
		return
	}
	write(w, http.StatusOK, "application/json", append(body, '\n'))
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
