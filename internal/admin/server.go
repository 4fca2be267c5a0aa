package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
)

// Limits on what a client may cost.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
	maxHeader    = 16 << 10
	closeTimeout = time.Second // for answers under way when the server closes
)

// A Server answers on one listener. Make one with Serve.
type Server struct {
	http  *http.Server
	done  chan error
	stop  context.CancelFunc // ends what remembers the last hour
	hours sync.WaitGroup
}

// Serve answers on ln, which it owns from now on, until Close. Control and names are as of Handler.
func Serve(ln net.Listener, src Source, control Control, logger hclog.Logger, names ...string) *Server {
	past := newHistories(src)
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		http: &http.Server{
			Handler:           serve(recovering(handlerOf(src, control, past, names), logger)),
			ConnContext:       withConn,
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          complaints(logger),
		},
		done: make(chan error, 1),
		stop: stop,
	}
	s.hours.Go(func() { past.run(ctx, logger) })
	go func() { s.done <- s.http.Serve(limit(ln)) }()
	return s
}

// Close stops listening, gives answers under way a moment, and waits until all have ended. It is called once.
func (s *Server) Close() error {
	s.stop()
	defer s.hours.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// recovering makes a panic the end of one request. Packs and changes of the role run beside their requests: a panic in
// one of these ends the process, since half of them would be worse.
func recovering(next http.Handler, log hclog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var cut any // what net/http itself wants to see
		err := recovered.Do(log, "answering an admin request", func() error {
			defer func() {
				if v := recover(); v == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
					cut = v
				} else if v != nil {
					panic(v)
				}
			}()
			next.ServeHTTP(w, r)
			return nil
		})
		if err != nil || cut != nil {
			panic(http.ErrAbortHandler) // ends the connection, without another word in the log
		}
	})
}

// commandHeader has to be in a request that changes something, with the name of the command. No web page in an
// operator's browser can send it: browsers ask the server first whether they may, and it does not answer that.
const commandHeader = "Zrsd-Command"

// connKey is the key of a request's connection in its context.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

const untrusted = "changes are not allowed over this connection: run the command on the machine itself, with an " +
	"--admin address that is a Unix socket or on 127.0.0.1, or with a client certificate that the admin server " +
	"verifies (--admin-tls-ca on its side)"

// permit refuses a request for something that is changed, unless it is surely an operator's: nil when it may be done.
func permit(r *http.Request, command string) *Refusal {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	switch {
	case conn == nil || !trusted(conn):
		return &Refusal{NotAllowed, untrusted}
	case r.Header.Get(commandHeader) != command:
		return &Refusal{NotAllowed, "use zrsd " + command + ", or send the header " + commandHeader + ": " + command}
	case r.Header.Get("Origin") != "": // as of a page whose host name was made to mean this address
		return &Refusal{NotAllowed, "web pages may not change anything: use zrsd " + command}
	}
	return nil
}

// trusted reports whether the other side is trusted: it is on this machine, or has a certificate.
func trusted(conn net.Conn) bool {
	switch a := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return true
		}
	}
	if c, ok := conn.(*counted); ok {
		conn = c.Conn
	}
	secured, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && len(secured.ConnectionState().VerifiedChains) > 0
}
