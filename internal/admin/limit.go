package admin

import (
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/door"
)

// Connections that wait for a request, or for the rest of one. Beyond these the oldest is closed for a new one, so that
// no number of idle connections keeps a probe out.
const (
	maxWaiting   = 64
	maxPerSource = 32
)

// maxAnswering is how many requests are answered at a time; for more there is 503, but for probes.
const maxAnswering = 64

// A limited listener gives every connection a place in the room.
type limited struct {
	net.Listener
	room *door.Room
}

func limit(ln net.Listener) net.Listener {
	return &limited{ln, door.NewRoom(maxPerSource, maxWaiting)}
}

// Accept waits for a connection.
func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &counted{Conn: conn}
	c.guest = l.room.Guest(door.Source(conn.RemoteAddr()), func(error) { door.Cut(conn) })
	c.guest.Enter()
	return c, nil
}

// A counted connection has a place while no request of it is answered, until it is closed.
type counted struct {
	net.Conn
	guest *door.Guest

	mu     sync.Mutex
	closed bool
}

// Close gives the place back.
func (c *counted) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.guest.Leave()
	return c.Conn.Close()
}

// waits takes the place again, after an answer.
func (c *counted) waits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.guest.Enter()
	}
}

// serve answers one request at a time of each connection, and not too many of all of them.
func serve(next http.Handler) http.Handler {
	answering := make(chan struct{}, maxAnswering)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*counted); ok {
			c.guest.Leave()
			defer c.waits()
		}
		if r.URL.Path == "/healthz" {
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
	log   hclog.Logger
	quiet *door.Quiet
}

func complaints(logger hclog.Logger) *log.Logger {
	return log.New(&complaint{logger, door.NewQuiet(time.Now)}, "", 0)
}

// Write takes one line.
func (c *complaint) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	c.quiet.Warn(c.log, "", door.Kind(textError(text)), "the HTTP server reported an error", "error", text)
	return len(line), nil
}

// A textError is an error that came as text.
type textError string

func (e textError) Error() string { return string(e) }
