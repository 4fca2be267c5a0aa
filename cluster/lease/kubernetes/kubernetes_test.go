package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/kubernetes"
	"github.com/zrsd/zrsd/cluster/lease/kubernetes/kubernetestest"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	leasetest.Contract(t, func(t *testing.T) func() lease.Coordinator {
		t.Helper()
		s := startServer(t)
		return func() lease.Coordinator { return s.open(t) }
	})
}

// The contract holds as well when answers get lost, and others change labels of the same objects.
func TestContractWithFaults(t *testing.T) {
	leasetest.Contract(t, func(t *testing.T) func() lease.Coordinator {
		t.Helper()
		s := startServer(t)
		var requests atomic.Int64
		s.SetFault(func(r *http.Request) kubernetestest.Fault {
			if r.Method == http.MethodPut && requests.Add(1)%2 == 1 {
				s.Relabel("zrsd-1", map[string]any{"by": r.RemoteAddr})
			}
			return kubernetestest.None
		})
		return func() lease.Coordinator { return s.open(t) }
	})
}

const (
	long  = time.Hour
	short = time.Second
)

func claim(node string, number uint64, ttl time.Duration) lease.Claim {
	return lease.Claim{
		Record: lease.Record{Number: number, Node: node}, Holder: lease.MemberStatus{Node: node}, TTL: ttl,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c lease.Coordinator) lease.View {
	t.Helper()
	v, err := c.Read(t.Context(), 0)
	must(t, err)
	return v
}

// A lease of an hour ago and one of tomorrow, by the clock of another machine, are both held until this client has
// seen them unchanged for their duration.
func TestTheClockOfAnotherMachineIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, time := range []string{"2001-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"} {
		t.Run(time[:4], func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			_, err := s.open(t).Acquire(t.Context(), lease.Record{}, claim("a", 1, short))
			must(t, err)
			s.Change("zrsd-1", func(o map[string]any) map[string]any {
				times := map[string]any{"renewTime": time, "acquireTime": time}
				return kubernetestest.Merge(o, map[string]any{"spec": times})
			})
			b := s.open(t)
			v := read(t, b)
			if v.Holder == nil {
				t.Fatal("the lease is vacant for a client that has seen it for no time")
			}
			if _, err := b.Acquire(t.Context(), v.Record, claim("b", 2, short)); !errors.Is(err, lease.ErrTaken) {
				t.Fatalf("acquired a lease that was seen for no time: %v", err)
			}
			for v.Holder != nil {
				v, err = b.Read(t.Context(), v.Revision)
				must(t, err)
			}
			_, err = b.Acquire(t.Context(), v.Record, claim("b", 2, short))
			must(t, err)
		})
	}
}

// A renewal that was done and not answered does not cost the lease, nor does one that was not done.
func TestALostAnswerLosesNoLease(t *testing.T) {
	for name, what := range map[string]kubernetestest.Fault{
		"done": kubernetestest.LostAnswer, "not done": kubernetestest.Fails,
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			a := s.open(t)
			held, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, long))
			must(t, err)
			s.SetFault(func(r *http.Request) kubernetestest.Fault {
				if r.Method == http.MethodPut {
					return what
				}
				return kubernetestest.None
			})
			if err := held.Renew(t.Context(), claim("a", 1, long)); err == nil || errors.Is(err, lease.ErrLost) {
				t.Fatalf("a renewal without an answer: %v", err)
			}
			s.SetFault(nil)
			must(t, held.Renew(t.Context(), claim("a", 1, long)))
		})
	}
}

// An acquisition that was done and not answered is held by nobody's Lease: it runs out.
func TestALostAcquisitionRunsOut(t *testing.T) {
	s := startServer(t)
	a := s.open(t)
	s.SetFault(func(r *http.Request) kubernetestest.Fault {
		if r.Method == http.MethodPost {
			return kubernetestest.LostAnswer
		}
		return kubernetestest.None
	})
	_, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, short))
	if err == nil || errors.Is(err, lease.ErrTaken) {
		t.Fatalf("an acquisition without an answer: %v", err)
	}
	s.SetFault(nil)
	v := read(t, a)
	if v.Holder == nil || v.Record.Number != 1 {
		t.Fatalf("the acquisition was not done: %+v", v)
	}
	for v.Holder != nil {
		v, err = a.Read(t.Context(), v.Revision)
		must(t, err)
	}
	_, err = a.Acquire(t.Context(), v.Record, claim("a", 2, short))
	must(t, err)
}

// A holder that could not renew in time has lost the lease, although nobody else has taken it.
func TestALeaseThatWasNotRenewedInTimeIsLost(t *testing.T) {
	s := startServer(t)
	a := s.open(t)
	held, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, short))
	must(t, err)
	for v := read(t, a); v.Holder != nil; {
		v, err = a.Read(t.Context(), v.Revision)
		must(t, err)
	}
	if err := held.Renew(t.Context(), claim("a", 1, short)); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewed: %v", err)
	}
}

func TestALeaseThatWasDeletedIsLost(t *testing.T) {
	s := startServer(t)
	a := s.open(t)
	held, err := a.Acquire(t.Context(), lease.Record{}, claim("a", 1, long))
	must(t, err)
	s.Change("zrsd-1", func(map[string]any) map[string]any { return nil })
	if err := held.Renew(t.Context(), claim("a", 1, long)); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewed: %v", err)
	}
	if v := read(t, a); v.Holder != nil || v.Record != (lease.Record{}) {
		t.Errorf("there is %+v", v)
	}
}

// The history that a watch asks for may be compacted away: then the state is read.
func TestAWatchOfWhatIsCompactedAwayReads(t *testing.T) {
	s := startServer(t)
	a := s.open(t)
	v := read(t, a)
	must(t, a.Publish(t.Context(), lease.MemberStatus{Node: "a"}, long))
	s.SetFault(func(r *http.Request) kubernetestest.Fault {
		if r.URL.Query().Get("watch") != "" {
			return kubernetestest.Gone
		}
		return kubernetestest.None
	})
	next, err := a.Read(t.Context(), v.Revision)
	must(t, err)
	if len(next.Members) != 1 {
		t.Errorf("%+v", next)
	}
}

// Kubernetes replaces the tokens of service accounts every hour.
func TestTheTokenIsReadEachTime(t *testing.T) {
	s := startServer(t)
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("first"), 0o600))
	a := s.openWith(t, token)
	read(t, a)
	s.SetToken("second")
	if _, err := a.Read(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with an old token: %v", err)
	}
	must(t, os.WriteFile(token, []byte("second"), 0o600))
	read(t, a)
}

// An API server that does not answer ends no call but by its context, and an error says what was asked of whom.
func TestAnErrorNamesTheLease(t *testing.T) {
	s := startServer(t)
	a := s.open(t)
	s.SetFault(func(*http.Request) kubernetestest.Fault { return kubernetestest.Fails })
	_, err := a.Read(t.Context(), 0)
	want := "read at Kubernetes " + s.URL + ", leases zrsd-1 in namespace plone: the API server answers 500 Internal " +
		"Server Error: etcd is away"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Acquire(ended, lease.Record{}, claim("a", 1, long)); !errors.Is(err, context.Canceled) {
		t.Errorf("the acquisition ended with %v", err)
	}
}

func TestNamesThatKubernetesDoesNotTakeAreRefused(t *testing.T) {
	for _, opt := range []kubernetes.Options{
		{Server: "https://k", Namespace: "plone", Name: "/zrsd/1"},
		{Server: "https://k", Namespace: "Plone", Name: "zrsd-1"},
		{Server: "https://k", Namespace: "plone", Name: strings.Repeat("a", 64)},
	} {
		if _, err := kubernetes.Open(opt); err == nil {
			t.Errorf("%+v was taken", opt)
		}
	}
}

// A node that is begun anew has another id: the object of the one before does not stay for good. One that has
// published meanwhile stays, although this client has not seen that.
func TestAMemberThatIsGoneForLongIsRemoved(t *testing.T) {
	s := startServer(t)
	a, b := s.open(t), s.open(t)
	for _, node := range []string{"a", "gone", "back"} {
		must(t, b.Publish(t.Context(), lease.MemberStatus{Node: node}, short))
	}
	read(t, a)
	a.Age(2 * time.Hour)
	must(t, b.Publish(t.Context(), lease.MemberStatus{Node: "back"}, short))
	must(t, a.Publish(t.Context(), lease.MemberStatus{Node: "a"}, short))
	want := []string{"zrsd-1-member-a", "zrsd-1-member-back"}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}
