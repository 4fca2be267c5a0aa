package admin

import (
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admission"
)

// Connections that wait for a request, or for the rest of one. Beyond these the oldest is closed for a new one, so that
// no number of idle connections keeps a probe out.
const (
	maxWaiting   = 64
	maxPerSource = 32
)

// maxAnswering is how many requests are answered at a time; for more there is 503, but for probes.
const maxAnswering = 64

// A limited listener has every connection counted.
type limited struct {
	net.Listener
	limiter *admission.Limiter
}

func limit(ln net.Listener) net.Listener {
	return &limited{ln, admission.NewLimiter(maxPerSource, maxWaiting)}
}

// Accept waits for a connection.
func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &counted{Conn: conn}
	c.pending = l.limiter.NewConn(admission.Source(conn.RemoteAddr()), func(error) { admission.Cut(conn) })
	c.pending.Enter()
	return c, nil
}

// A counted connection has a place while no request of it is answered, until it is closed.
type counted struct {
	net.Conn
	pending *admission.Conn

	mu     sync.Mutex
	closed bool
}

// Close gives the place back.
func (c *counted) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.pending.Leave()
	return c.Conn.Close()
}

// waits takes the place again, after an answer.
func (c *counted) waits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.pending.Enter()
	}
}

// serve answers one request at a time of each connection, and not too many of all of them.
func serve(next http.Handler) http.Handler {
	answering := make(chan struct{}, maxAnswering)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*counted); ok {
			c.pending.Leave()
			defer c.waits()
		}
		if isProbe(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case answering <- struct{}{}:
			defer func() { <-answering }()
			next.ServeHTTP(w, r)
		default:
			writeText(w, http.StatusServiceUnavailable, "too many requests are being answered: try again")
		}
	})
}

// A complaint is a writer for what package http logs about its clients: few lines of one kind in a minute.
type complaint struct {
	log      hclog.Logger
	logLimit *admission.LogLimiter
}

func complaints(logger hclog.Logger) *log.Logger {
	return log.New(&complaint{logger, admission.NewLogLimiter(time.Now)}, "", 0)
}

// Write takes one line.
func (c *complaint) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	c.logLimit.Log(c.log, hclog.Info, "", admission.Kind(textError(text)), "the HTTP server reported an error",
		"error", text)
	return len(line), nil
}

// A textError is an error that came as text.
type textError string

func (e textError) Error() string { return string(e) }
