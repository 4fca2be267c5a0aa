package admin

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
)

// A falling source has a fault that shows when it is asked for its status.
type falling struct{}

func (falling) Status() Status {
	var none *Status
	return *none
}

func TestAPanicCostsOneRequest(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	before := recovered.Count()
	s := Serve(ln, falling{}, nil, hclog.New(&hclog.LoggerOptions{Output: &log}))
	get := func(path string) (int, error) {
		req, err := http.NewRequestWithContext(
			context.Background(),
			http.MethodGet,
			"http://"+ln.Addr().String()+path,
			nil,
		)
		if err != nil {
			return 0, err
		}
		resp, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if code, err := get("/status"); err == nil {
		t.Errorf("answered %d", code)
	}
	if code, err := get("/healthz"); err != nil || code != http.StatusOK {
		t.Errorf("the next request: %d, %v", code, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := recovered.Count() - before; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
	if !strings.Contains(log.String(), "answering an admin request") || !strings.Contains(log.String(), "falling") {
		t.Errorf("the log does not say where it was:\n%s", &log)
	}
}
