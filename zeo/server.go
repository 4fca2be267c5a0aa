package zeo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admission"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/wire"
)

// A Server serves storages to clients. Its methods may be called concurrently.
type Server struct {
	opt Options
	log hclog.Logger

	packing context.Context // ends when packs have to
	endPack context.CancelFunc
	packs   sync.WaitGroup // those that nobody waits for

	warm warmth // buffers of iterators

	mu      sync.Mutex
	offered map[string]*storage
	names   map[string]struct{} // of storages that were offered, now or before
	over    map[string]error    // why a storage is not offered any more, for its clients; see End
	limiter
}

// New returns a server without storages.
func New(opt Options) *Server {
	opt = opt.withDefaults()
	s := &Server{
		opt:     opt,
		log:     opt.Logger,
		offered: make(map[string]*storage),
		names:   make(map[string]struct{}),
		over:    make(map[string]error),
		warm:    newWarmth(),
	}
	s.limiter = limiter{
		clients: make(map[*client]struct{}),
		pending: admission.NewLimiter(
			opt.MaxUnregistered,
			maxUnregistered,
		),
		logLimit: admission.NewLogLimiter(time.Now),
		rate:     admission.NewRate(time.Now, maxLines),
	}
	s.packing, s.endPack = context.WithCancel(context.Background())
	return s
}

// Close ends packs that nobody waits for, and returns when they have ended. It comes after Serve.
func (s *Server) Close() {
	s.endPack()
	s.packs.Wait()
}

// Offer serves st under a name until withdraw is called, which disconnects its clients and returns when none uses it
// any more. A name that is served already is an error, as is a storage that cannot be read.
func (s *Server) Offer(name string, st *filestorage.Storage, opt StorageOptions) (withdraw func(), err error) {
	storage, err := serve(name, st, opt, s.opt.Recent, s.log)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, twice := s.offered[name]
	if !twice {
		s.offered[name] = storage
		s.names[name] = struct{}{}
		delete(s.over, name)
	}
	s.mu.Unlock()
	if twice {
		storage.withdraw()
		return nil, fmt.Errorf("storage %s is served already", name)
	}
	return func() {
		s.mu.Lock()
		delete(s.offered, name)
		s.mu.Unlock()
		storage.withdraw()
	}, nil
}

// knows reports whether a storage of this name is served, or was.
func (s *Server) knows(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.names[name]
	return ok
}

func (s *Server) storage(name string) *storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offered[name]
}

// storages returns all in the order of their names.
func (s *Server) storages() []*storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*storage
	for _, st := range s.offered {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *storage) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

func (s *Server) announced() string {
	if s.opt.Msgpack {
		return wire.M5
	}
	return wire.Z5
}

// acceptPause is waited when accepting failed, as for want of file descriptors.
const acceptPause = 100 * time.Millisecond

// errShutdown ends all connections.
var errShutdown = errors.New("the server is shutting down")

// Serve accepts clients on l until ctx ends, disconnects them then, and returns nil when all have ended. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	shut := sync.OnceFunc(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Info("closing a listener failed", "listener", l.Addr().String(), "error", err)
		}
		s.disconnectAll()
	})
	stop := context.AfterFunc(ctx, shut)
	defer conns.Wait()
	defer shut() // also where stop came before what ctx does
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // too late
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting clients on %v: %w", l.Addr(), err)
		case err != nil:
			s.logLimit.Warn(s.log, "", admission.Kind(err), "accepting a client failed, retrying", "error", err,
				"warning", warning.FewFiles)
			pause.For(ctx, acceptPause)
			continue
		}
		c := s.admit(conn)
		if c == nil {
			continue
		}
		conns.Go(func() {
			defer s.forget(c)
			if ctx.Err() != nil {
				c.out.close(errShutdown)
			}
			c.serve()
		})
	}
}

func (s *Server) disconnectAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.out.close(errShutdown)
	}
}

// critical logs what an operator must see.
func (s *Server) critical(c *client, text string) {
	if s.opt.Critical != nil {
		s.opt.Critical(c.logger(), text)
		return
	}
	c.logger().Error(text, "warning", warning.ClientTimeout)
}
