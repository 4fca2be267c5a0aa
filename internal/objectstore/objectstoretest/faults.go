package objectstoretest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A Fault is what happens to one request. The zero Fault is none.
type Fault struct {
	Status int           // the answer is this error, and, if it is not Lost, the server sees nothing
	Cut    int64         // the connection is cut after so many bytes of the answer's body
	Lost   bool          // the server does what it is asked to do, and the answer is lost
	Hang   bool          // no answer comes before the client gives up
	Skew   time.Duration // the request is signed at another time
	Forge  bool          // the request is signed with another key
}

// A Proxy is between a client and the server.
type Proxy struct {
	Address string

	mu    sync.Mutex
	fault func(r *http.Request) Fault
	seen  int
}

// Proxy starts one that ends with the test.
func (s *Server) Proxy(t *testing.T) *Proxy {
	t.Helper()
	p := &Proxy{}
	target := &url.URL{Scheme: "http", Host: s.Address}
	through := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(t, through, w, r)
	}))
	t.Cleanup(server.Close)
	p.Address = strings.TrimPrefix(server.URL, "http://")
	return p
}

// Make has fault say what happens to each request from now on; nil: nothing.
func (p *Proxy) Make(fault func(r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.seen = fault, 0
}

// First makes a fault of the first n requests from now on, counted by Seen.
func (p *Proxy) First(n int, f Fault) {
	p.Make(func(*http.Request) Fault {
		if p.seen <= n {
			return f
		}
		return Fault{}
	})
}

// Seen returns how many requests have come since the last Make.
func (p *Proxy) Seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *Proxy) next(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if p.fault == nil {
		return Fault{}
	}
	return p.fault(r)
}

func (p *Proxy) serve(t *testing.T, through http.Handler, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	f := p.next(r)
	if f.Skew != 0 {
		sign(t, r, time.Now().Add(f.Skew), secret)
	}
	if f.Forge {
		sign(t, r, time.Now(), "another secret")
	}
	switch {
	case f.Lost:
		through.ServeHTTP(httptest.NewRecorder(), r)
		if f.Status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(f.Status)
	case f.Status != 0:
		w.WriteHeader(f.Status)
	case f.Hang:
		_, _ = io.Copy(io.Discard, r.Body) // else nobody notices that the client leaves
		<-r.Context().Done()
	case f.Cut > 0:
		through.ServeHTTP(&cutWriter{w, f.Cut}, r)
	default:
		through.ServeHTTP(w, r)
	}
}

// sign signs a request anew.
func sign(t *testing.T, r *http.Request, at time.Time, with string) {
	t.Helper()
	r.Header.Del("Authorization")
	r.Header.Del("X-Amz-Date")
	who := aws.Credentials{AccessKeyID: access, SecretAccessKey: with}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if err := v4.NewSigner().SignHTTP(r.Context(), who, r, hash, "s3", region, at); err != nil {
		t.Error(err)
	}
}

// cutWriter cuts the connection after so many bytes.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(b []byte) (int, error) {
	n := min(int64(len(b)), c.left)
	c.left -= n
	if _, err := c.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	if c.left == 0 {
		c.Flush()
		panic(http.ErrAbortHandler)
	}
	return int(n), nil
}

func (c *cutWriter) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }
