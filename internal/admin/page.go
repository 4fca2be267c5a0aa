package admin

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// pageFiles are the status page and what belongs to it. Nothing of it comes from elsewhere.
//
//go:embed page
var pageFiles embed.FS

// pageTemplate is parsed by the first request: most commands have no page.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page.html").Funcs(template.FuncMap{
		"rfc":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	}).ParseFS(pageFiles, "page/page.html"))
})

// pagePolicy lets the page load its own style, script and icon, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// maxPages is how many pages are made at a time; more are answered with 503. pagePatience is how long a page waits for
// the answers of other nodes: those that come later are in the next one.
const (
	maxPages     = 8
	pagePatience = 700 * time.Millisecond
)

// A page serves the status page.
type page struct {
	src       Source
	control   Control // nil: there are no clients to be shown
	histories histories
	making    chan struct{}
}

// register adds the paths of the page.
func (p *page) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", p.serve)
	for name, kind := range map[string]string{
		"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.svg": "image/svg+xml",
	} {
		content, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			harden(w)
			write(w, http.StatusOK, kind, content)
		})
	}
}

// harden tells a browser what it must not do with an answer.
func harden(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// serve answers a browser with the page, and others with where they find what they can read.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeText(w, http.StatusOK, "zrsd: see /status, /cluster, /metrics, /livez, /readyz, /primary, /replica, "+
			"/clients, /undo-log; a browser gets a page here")
		return
	}
	one := sourceOf(w, r, p.src)
	if one == nil {
		return
	}
	select {
	case p.making <- struct{}{}:
		defer func() { <-p.making }()
	default:
		writeText(w, http.StatusServiceUnavailable, "too many pages are being made: try again")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pagePatience)
	defer cancel()
	var body bytes.Buffer
	if err := pageTemplate().Execute(&body, p.view(ctx, firstOf(one), p.storageOf(r))); err != nil {
		writeText(w, http.StatusInternalServerError, fmt.Sprintf("the page cannot be made: %v", err))
		return
	}
	harden(w)
	write(w, http.StatusOK, "text/html; charset=utf-8", body.Bytes())
}

// storageOf returns the name of the storage that is shown, empty for the only one.
func (p *page) storageOf(r *http.Request) string {
	several, are := p.src.(Sources)
	if !are {
		return ""
	}
	if name := r.URL.Query().Get("storage"); name != "" {
		return name
	}
	return several.Names()[0]
}

// view puts together what is shown of a storage.
func (p *page) view(ctx context.Context, src Source, storage string) *pageView {
	v := &pageView{Cluster: ClusterOf(ctx, src), Query: ""}
	st := src.Status()
	v.Node = &st
	h := p.histories[storage]
	samples := h.all()
	v.rates = h.recent()
	v.Charts = chartsOf(samples, st.Now)
	v.disks(h)
	if several, are := p.src.(Sources); are {
		v.Query = "?storage=" + url.QueryEscape(storage)
		for _, name := range several.Names() {
			v.Storages = append(v.Storages, storageLink{name, name == storage})
		}
	}
	v.warnings()
	v.nodes()
	v.tiles()
	v.facts()
	if p.control != nil {
		v.clients(p.control, storage)
	}
	return v
}
