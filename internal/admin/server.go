package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Limits on what a client may cost.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
	maxHeader    = 16 << 10
	closeTimeout = time.Second // for answers on their way when the server closes
)

// A Server answers on one listener. Make one with Serve.
type Server struct {
	http *http.Server
	done chan error
}

// Serve answers on ln, which it owns from now on, until Close. Control and names are as of Handler.
func Serve(ln net.Listener, src Source, control Control, logger hclog.Logger, names ...string) *Server {
	s := &Server{
		http: &http.Server{
			Handler:           serve(recovering(Handler(src, control, names...), logger)),
			ConnContext:       withConn,
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          complaints(logger),
		},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(limit(ln)) }()
	return s
}

// Close stops listening, gives answers on their way a moment, and waits until nothing runs any more. It is called once.
func (s *Server) Close() error {
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
