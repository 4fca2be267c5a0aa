package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
)

// A counter is a front that notes which storages it may use, and whether one was taken from it while it served.
type counter struct {
	mu      sync.Mutex
	offers  map[string]*filestorage.Storage
	access  map[string]zeo.Access
	options map[string]zeo.StorageOptions
	serving bool
	early   []string // withdrawn while serving
	changed chan struct{}
	clients []admin.Client
	resized chan string
	steps   chan filestorage.Moment
	ends    chan error
}

func newCounter() *counter {
	return &counter{offers: map[string]*filestorage.Storage{}, access: map[string]zeo.Access{},
		options: map[string]zeo.StorageOptions{}, changed: make(chan struct{}, 16), resized: make(chan string, 16),
		steps: make(chan filestorage.Moment, 16), ends: make(chan error, 16)}
}

func (c *counter) Offer(name string, st *filestorage.Storage, opt zeo.StorageOptions) func() {
	c.mu.Lock()
	c.offers[name] = st
	c.access[name], c.options[name] = opt.Access, opt
	c.mu.Unlock()
	c.changed <- struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.serving {
			c.early = append(c.early, name)
		}
		delete(c.offers, name)
	}
}

func (c *counter) SetAccess(name string, access zeo.Access) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.access[name] = access
}

func (c *counter) Clients() []admin.Client { return c.clients }

func (c *counter) Stats(string) (zeo.Stats, bool)   { return zeo.Stats{}, false }
func (c *counter) Listening() bool                  { return true }
func (c *counter) Registered() (clients, limit int) { return 9, 10 }

func (c *counter) Step(_ context.Context, _ string, to filestorage.Moment) error {
	c.steps <- to
	return nil
}

func (c *counter) Show(_ context.Context, _ string, to filestorage.Moment) error {
	c.steps <- to
	return nil
}

func (c *counter) End(_ string, why error) { c.ends <- why }

func (c *counter) Resized(name string) { c.resized <- name }

func (c *counter) Serve(ctx context.Context) error {
	c.mu.Lock()
	c.serving = true
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.serving = false
	c.mu.Unlock()
	return nil
}

// sample returns a process of one storage of each role, on disks of their own; the secondary follows the primary.
func sample(t *testing.T, front front) (p Process, site *site) {
	t.Helper()
	first, second := newSite(t, nodetest.DiskWith(t, 3)), newSite(t, simdisk.New())
	primary := &PrimaryConfig{Config: first.config()}
	secondary := second.secondaryConfig(first)
	secondary.ReplicateTo = endpoint.Endpoint{}
	primary.Admin, secondary.Admin = endpoint.Endpoint{}, endpoint.Endpoint{}
	return Process{
		Shared: Config{Admin: first.control},
		Storages: []Storage{
			{Name: "one", Primary: primary},
			{Name: "two", Secondary: &secondary},
			{Name: "three", Standalone: &StandaloneConfig{
				Config: Config{FS: nodetest.DiskWith(t, 2), Data: "Data.fs"},
			}},
		},
		front: front,
	}, first
}

func TestAProcessRunsEveryStorageInItsRole(t *testing.T) {
	front := newCounter()
	p, site := sample(t, front)
	r := site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	st := r.Await(t, "all are ready", nodetest.Ready)
	var roles []string
	for _, m := range st.Storages {
		roles = append(roles, m.Name+" "+m.Role)
	}
	if got := strings.Join(roles, ", "); got != "one primary, two secondary, three standalone" {
		t.Errorf("the storages are %s", got)
	}
	for range p.Storages {
		<-front.changed
	}
	r.End(t)
	if len(front.offers) != 0 || len(front.early) != 0 {
		t.Errorf("after the end the front has %v; taken from it while it served: %v", front.offers, front.early)
	}
}

func TestEachStorageHasItsStatusAndItsMetrics(t *testing.T) {
	p, site := sample(t, nil)
	r := site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	r.Await(t, "all are ready", nodetest.Ready)
	for path, want := range map[string]string{
		"/status?storage=two":   `"role": "secondary"`,
		"/status?storage=three": `"role": "standalone"`,
		"/status":               `"role": "primary"`,
		"/status?storage=four":  `there is no storage of that name: there are ["one" "two" "three"]`,
		"/readyz":               "ready",
		"/metrics":              `zrsd_ready{storage="three"} 1`,
	} {
		if body := fetch(t, r, path); !strings.Contains(body, want) {
			t.Errorf("%s has no %s: %s", path, want, body)
		}
	}
}

func fetch(t *testing.T, r *running, path string) string {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		return r.control.Dial(ctx)
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://zrsd"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestOneStorageThatCannotStartEndsTheProcessAndIsNamed(t *testing.T) {
	p, _ := sample(t, newCounter())
	p.Storages[2].Standalone = &StandaloneConfig{Config: Config{FS: simdisk.New(), Data: "Data.fs"}, ReadOnly: true}
	err := Serve(t.Context(), p)
	var start *StartError
	if !errors.As(err, &start) || !strings.HasPrefix(err.Error(), "storage three: ") {
		t.Errorf("got %v", err)
	}
}

func TestAStorageOfTheProcessThatMakesNoSenseIsNamed(t *testing.T) {
	for want, spoil := range map[string]func(p *Process){
		"there is no storage":                func(p *Process) { p.Storages = nil },
		"two storages have the name one":     func(p *Process) { p.Storages[1].Name = "one" },
		"storage one: a primary needs":       func(p *Process) { p.Storages[0].Primary.ReplicateTo = site{}.to },
		"storage two: a secondary needs":     func(p *Process) { p.Storages[1].Secondary.ReplicateFrom = nil },
		"storage three: no data file":        func(p *Process) { p.Storages[2].Standalone.Data = "" },
		"storage one: --drain-timeout":       func(p *Process) { p.Storages[0].Primary.DrainTimeout = -time.Second },
		"can be reached from other machines": func(p *Process) { p.Shared.Admin = nodetest.Socket(t, "0.0.0.0:0") },
	} {
		p, _ := sample(t, nil)
		spoil(&p)
		err := Serve(t.Context(), p)
		fails[*ConfigError](t, err)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAReadOnlyStorageTakesNoLock(t *testing.T) {
	site := newSite(t, nodetest.DiskWith(t, 2))
	owner, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: site.disk})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	p := Process{
		Shared: Config{Admin: site.control},
		Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{Config: Config{FS: site.disk, Data: "Data.fs"},
			ReadOnly: true}}},
	}
	r := site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	st := r.Await(t, "is ready", nodetest.Ready)
	if st.Role != "standalone" || st.Storages != nil || *st.Storage.Objects == 0 {
		t.Errorf("the status of the only storage is %+v", st)
	}
	r.End(t)
}

var _ admin.Sources = nodeStatuses(nil)
