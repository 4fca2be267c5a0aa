package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// The ids of nodes.
const (
	nodeA = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	nodeB = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
	nodeC = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
)

// nodeOf returns the id of the node of a name.
func nodeOf(name string) string {
	return map[string]string{"a": nodeA, "b": nodeB, "c": nodeC}[name]
}

// A scriptedSecondary is a Secondary that reaches nobody, and says what it was told to say.
type scriptedSecondary struct {
	mu     sync.Mutex
	status secondary.Status
	looks  [][]string // where it was told to look, each time
	runs   int        // at present
}

func (s *scriptedSecondary) Run(ctx context.Context) error {
	s.add(1)
	defer s.add(-1)
	<-ctx.Done()
	return nil
}

func (s *scriptedSecondary) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs += n
}

func (s *scriptedSecondary) Look(addresses []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = append(s.looks, addresses)
}

func (s *scriptedSecondary) Status() secondary.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *scriptedSecondary) set(status secondary.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// looked returns where it was told to look last; nil: it was never told to.
func (s *scriptedSecondary) looked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looks) == 0 {
		return nil
	}
	return s.looks[len(s.looks)-1]
}

// A fakeServer is a ReplicationServer with secondaries that do what they were told to.
type fakeServer struct {
	mu      sync.Mutex
	status  primary.Status
	asked   func(*primary.Status) // before it answers; may be nil
	renewed int
	synced  zodb.Tid
	moved   chan struct{} // closed when synced rises

	durable         []error // of these requests, one after the other; later ones succeed
	check, takeOver error
	tookOver        []*protocol.TakeOver
}

func (s *fakeServer) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed++
}

func (s *fakeServer) renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

func (s *fakeServer) Status() primary.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != nil {
		s.asked(&s.status)
	}
	return s.status
}

func (s *fakeServer) Synced() zodb.Tid {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced
}

// acknowledge says that enough secondaries have a transaction.
func (s *fakeServer) acknowledge(tid zodb.Tid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = tid
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

func (s *fakeServer) AwaitSynced(ctx context.Context, tid zodb.Tid) error {
	for {
		s.mu.Lock()
		if s.synced >= tid {
			s.mu.Unlock()
			return nil
		}
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *fakeServer) AwaitDurable(context.Context, string, zodb.Tid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) == 0 {
		return nil
	}
	err := s.durable[0]
	s.durable = s.durable[1:]
	return err
}

func (s *fakeServer) CheckHandover(context.Context, string, *protocol.HandoverCheck) error {
	return s.check
}

func (s *fakeServer) TakeOver(_ string, t *protocol.TakeOver) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tookOver = append(s.tookOver, t)
	return s.takeOver
}

// A fakeNetwork is where other nodes answer requests as they were told to. Nobody else is there.
type fakeNetwork struct {
	all sync.WaitGroup

	mu    sync.Mutex
	nodes map[string]func(request any) any // by address
}

func newNetwork(t *testing.T) *fakeNetwork {
	t.Helper()
	network := &fakeNetwork{nodes: make(map[string]func(any) any)}
	t.Cleanup(network.all.Wait)
	return network
}

// answers has a node answer from now on.
func (f *fakeNetwork) answers(addr string, answer func(request any) any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[addr] = answer
}

func (f *fakeNetwork) dial(ctx context.Context, addr string) (net.Conn, error) {
	f.mu.Lock()
	answer := f.nodes[addr]
	f.mu.Unlock()
	if answer == nil {
		return nil, errors.New("nobody is there")
	}
	here, there := net.Pipe()
	f.all.Go(func() { _ = serveOne(ctx, there, answer) })
	return here, nil
}

// noting is dial, and adds each address to a list.
func (f *fakeNetwork) noting(dialed *[]string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		f.mu.Lock()
		*dialed = append(*dialed, addr)
		f.mu.Unlock()
		return f.dial(ctx, addr)
	}
}

// serveOne answers one request, and ends with its connection.
func serveOne(ctx context.Context, conn net.Conn, answer func(any) any) error {
	_, err := protocol.ServerPreface(ctx, conn)
	if err == nil {
		err = protocol.AcceptPreface(ctx, conn)
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	session, err := protocol.ServerSession(conn, protocol.SessionOptions{})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { <-session.CloseChan() }()
	stream, _, err := protocol.AcceptStream(ctx, session)
	if err != nil {
		return errors.Join(err, session.Close())
	}
	control := protocol.NewControl(stream)
	request, err := control.Receive(ctx)
	if err != nil {
		return errors.Join(err, session.Close())
	}
	return control.Send(answer(request))
}

// A fakeMember answers as a node of the cluster of another one does.
type fakeMember struct {
	mu     sync.Mutex
	status protocol.NodeStatus
	vote   any // instead of a vote
	asked  []any
}

// member adds a node that has what n has.
func (f *fakeNetwork) member(n *Node, name string, change func(*protocol.NodeStatus)) *fakeMember {
	m := &fakeMember{status: *n.says(name, 0, change).status}
	m.status.StorageID = n.keep.State().StorageID
	f.answers(name+":1", m.answer)
	return m
}

func (m *fakeMember) answer(request any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, request)
	r, votes := request.(*protocol.VoteRequest)
	switch status := m.status; {
	case !votes:
		return &status
	case m.vote != nil:
		return m.vote
	default:
		m.status.MaxEpochSeen = r.Epoch
		return &protocol.Vote{Epoch: r.Epoch, NodeStatus: m.status}
	}
}

// votes returns the epochs that the node was asked to vote for.
func (m *fakeMember) votes() (epochs []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, request := range m.asked {
		if r, is := request.(*protocol.VoteRequest); is {
			epochs = append(epochs, r.Epoch)
		}
	}
	return epochs
}
