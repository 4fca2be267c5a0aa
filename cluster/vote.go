package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
)

// requestTimeout is how long another node may take to answer a request for its status or its vote.
const requestTimeout = 2 * time.Second

// Info is primary.Member.
func (n *Node) Info() primary.NodeInfo {
	st := primary.NodeInfo{
		Node: n.keep.Node(), IsPrimary: n.IsPrimary() && !n.Fenced() && !n.stopped(), Sync: n.SyncRule(),
	}
	if id := n.keep.State(); id != nil {
		st.ExternalHistory = id.ExternalHistory
	}
	if now := n.sec.Status(); !st.IsPrimary && now.Connected {
		st.UpstreamPath = now.UpstreamPath
	}
	return st
}

// Status is primary.Member. What the node that asks says of itself is acted upon later.
func (n *Node) Status(req *protocol.StatusRequest) (*protocol.NodeStatus, *protocol.Refusal) {
	if refusal := n.believes(req.StorageID, req.MaxEpochBegun); refusal != nil {
		return nil, refusal
	}
	if id := n.keep.State(); id != nil && req.StorageID == id.StorageID {
		if req.MaxEpochBegun > id.Latest() {
			n.Outranked(req.MaxEpochBegun)
		}
		if req.IsPrimary && req.MaxEpochBegun >= id.Latest() {
			n.events.note(func(e *pendingEvents) { e.leader = req.ReplicationAddr })
		}
	}
	own := n.ownStatus()
	if n.opt.Report != nil {
		own.Report = n.opt.Report()
	}
	return own, nil
}

// Vote is primary.Member: it answers a node that wants to be primary. The vote is durable, and the node has ended its
// connection to its primary, before it answers.
func (n *Node) Vote(ctx context.Context, req *protocol.VoteRequest) (*protocol.Vote, *protocol.Refusal) {
	if refusal := n.believes(req.StorageID, max(req.Epoch, req.MaxEpochBegun)); refusal != nil {
		return nil, refusal
	}
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-ctx.Done():
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: "the role of this node is being changed: " +
			"try again"}
	}
	switch id := n.keep.State(); {
	case id == nil:
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: state.ErrNoState.Error()}
	case req.Epoch <= id.Highest():
		return nil, &protocol.Refusal{Code: protocol.CodeOutranked, Tid: n.st.LastTid(), Text: fmt.Sprintf(
			"%s has seen epoch %d, so epoch %d cannot begin: ask again with a higher one", n.opt.Name,
			id.Highest(), req.Epoch)}
	}
	if err := n.grant(ctx, req); err != nil {
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: fmt.Sprintf("%s cannot vote: %v",
			n.opt.Name, err)}
	}
	n.opt.Logger.Info("voted: this node follows no primary of a lower epoch", "epoch", req.Epoch,
		"asking_node", req.Name)
	return &protocol.Vote{Epoch: req.Epoch, NodeStatus: *n.ownStatus()}, nil
}

// believes refuses implausible numbers of epochs: once saved, they would leave none for later promotions.
func (n *Node) believes(storageID string, epoch uint64) *protocol.Refusal {
	id := n.keep.State()
	if id == nil || storageID != id.StorageID {
		return nil
	}
	if err := state.Believe(epoch, id.Highest()); err != nil {
		return &protocol.Refusal{Code: protocol.CodeOutranked, Tid: n.st.LastTid(), Text: err.Error()}
	}
	return nil
}

// grant makes the vote durable.
func (n *Node) grant(ctx context.Context, req *protocol.VoteRequest) error {
	n.leader = req.ReplicationAddr // it is looked for there first: other addresses may be silent
	if n.IsPrimary() {
		return n.fence(ctx, req.Epoch, false, req.ReplicationAddr)
	}
	n.stopFollowing()
	defer n.follow()
	return n.keep.Update(func(id *state.State) error {
		id.Vote(req.Epoch, req.Node)
		id.FollowFirst([]string{req.ReplicationAddr})
		return nil
	})
}

// ownStatus is the status that this node sends to others.
func (n *Node) ownStatus() *protocol.NodeStatus {
	p := &protocol.NodeStatus{
		Node: n.keep.Node(), Run: n.opt.Self, Name: n.opt.Name, LastTid: n.st.LastTid(),
		AsksIdentity: n.asksIdentity.Load(),
	}
	if p.IsPrimary = n.IsPrimary() && !n.Fenced() && !n.opt.stopping(); p.IsPrimary {
		p.PrimarySince = n.leadingSince().UTC().Format(time.RFC3339Nano)
		p.PrimaryForMS = uint64(max(0, n.admitsFor().Milliseconds()))
	}
	p.FaultReason, p.Spare = n.FaultReason(), n.isSpare()
	if now := n.sec.Status(); !p.IsPrimary && now.Connected {
		p.UpstreamAddr = now.Address
	}
	if id := n.keep.State(); id != nil {
		p.StorageID, p.Node, p.Epochs = id.StorageID, id.Node, id.Epochs
		p.MaxEpochSeen, p.MaxEpochBegun, p.Learner = id.MaxEpochSeen, id.MaxEpochBegun, id.Learner
	}
	return p
}

// An answer is what became of a request at one address.
type answer struct {
	addr         string
	status       *protocol.NodeStatus // nil: err says why
	otherStorage *protocol.NodeStatus // of a node of another storage; nil: it is none
	err          error
	// asked and heard are when the question was sent and the answer came, where somebody wants to know.
	asked, heard time.Time
}

// identity returns the id of the storage at an address, something where only that it has one is known, and nothing
// where it has none or did not answer.
func (a *answer) identity() string {
	var refusal *protocol.Refusal
	switch {
	case a.otherStorage != nil:
		return clean(a.otherStorage.StorageID)
	case a.status != nil:
		return a.status.StorageID
	case errors.As(a.err, &refusal) && (refusal.Code == protocol.CodeWrongStorage ||
		refusal.Code == protocol.CodeNotMember):
		return "of an unknown id"
	}
	return ""
}

// name returns how the node at an address calls itself.
func (a *answer) name() string {
	switch {
	case a.otherStorage != nil:
		return clean(a.otherStorage.Name)
	case a.status != nil:
		return clean(a.status.Name)
	}
	return "a node"
}

// others returns the addresses of all members that are known but this one.
func (n *Node) others() (list []string) {
	for _, addr := range append(n.addresses(), n.knownAddresses()...) {
		if addr != n.opt.ReplicationAddr && !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// askStatus asks other members for their status, at the same time, and returns the answers of others than this node.
func (n *Node) askStatus(ctx context.Context, addresses []string) []answer {
	req := n.statusRequest()
	if id := n.keep.State(); id != nil {
		req.StorageID, req.MaxEpochBegun = id.StorageID, id.Latest()
	}
	return n.askEach(addresses, func(addr string) answer { return n.askStatusAt(ctx, addr, req) })
}

// askIdentity is askStatus of a node that has no identity, or drops the one that it has.
func (n *Node) askIdentity(ctx context.Context, addresses []string) []answer {
	req := n.statusRequest()
	return n.askEach(addresses, func(addr string) answer { return n.askStatusAt(ctx, addr, req) })
}

// askVote asks other members, as askStatus does, to vote for an epoch that this node wants to begin.
func (n *Node) askVote(ctx context.Context, epoch uint64, addresses []string) []answer {
	req := protocol.VoteRequest{Epoch: epoch, StatusRequest: n.statusRequest()}
	if id := n.keep.State(); id != nil {
		req.StorageID, req.MaxEpochBegun = id.StorageID, id.Latest()
	}
	return n.askEach(addresses, func(addr string) answer { return n.askVoteAt(ctx, addr, req) })
}

// statusRequest names the node that asks, but not its storage.
func (n *Node) statusRequest() protocol.StatusRequest {
	return protocol.StatusRequest{
		Version: protocol.MessageVersion, Node: n.keep.Node(), Run: n.opt.Self, Name: n.opt.Name,
		ReplicationAddr: n.opt.ReplicationAddr, LastTid: n.st.LastTid(),
		IsPrimary: n.IsPrimary() && !n.Fenced() && !n.stopped(),
	}
}

// askEach asks several nodes. Who answers with the id of this node is this one only if it is the same process.
func (n *Node) askEach(addresses []string, ask func(addr string) answer) []answer {
	answers := make([]answer, len(addresses))
	var all sync.WaitGroup
	for i, addr := range addresses {
		all.Go(func() { answers[i] = ask(addr) })
	}
	all.Wait()
	self := n.keep.Node()
	return slices.DeleteFunc(answers, func(a answer) bool {
		return a.status != nil && a.status.Node == self && (a.status.Run == "" || a.status.Run == n.opt.Self)
	})
}

// reached returns the addresses at which somebody has answered.
func reached(answers []answer) (list []string) {
	for _, a := range answers {
		if a.status != nil {
			list = append(list, a.addr)
		}
	}
	return list
}

// askStatusAt asks one node.
func (n *Node) askStatusAt(ctx context.Context, addr string, req protocol.StatusRequest) answer {
	msg, err := n.ask(ctx, addr, &req)
	status, ok := msg.(*protocol.NodeStatus)
	if err == nil && !ok {
		err = fmt.Errorf("it answered a status request with a %T", msg)
	}
	return answerOf(addr, status, err, req.StorageID, req.MaxEpochBegun)
}

// askVoteAt asks one node.
func (n *Node) askVoteAt(ctx context.Context, addr string, req protocol.VoteRequest) answer {
	msg, err := n.ask(ctx, addr, &req)
	vote, ok := msg.(*protocol.Vote)
	switch {
	case err != nil:
	case !ok:
		err = fmt.Errorf("it answered a vote request with a %T", msg)
	case vote.Epoch != req.Epoch:
		err = fmt.Errorf("asked to vote for epoch %d, it voted for epoch %d", req.Epoch, vote.Epoch)
	}
	if err != nil {
		return answerOf(addr, nil, err, req.StorageID, 0)
	}
	return answerOf(addr, &vote.NodeStatus, nil, req.StorageID, max(req.MaxEpochBegun, req.Epoch))
}

// ask sends one request and returns the answer.
func (n *Node) ask(ctx context.Context, addr string, req any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	dial := func(ctx context.Context) (net.Conn, error) { return n.opt.Dial(ctx, addr) }
	return protocol.Ask(ctx, dial, n.opt.Secret, req, protocol.SessionOptions{Logger: n.opt.Logger})
}

// answerOf returns what became of a request of a node that has a storage and knows of epochs up to known.
func answerOf(addr string, status *protocol.NodeStatus, err error, storageID string, known uint64) answer {
	if err == nil && status.StorageID != storageID {
		return answer{addr: addr, otherStorage: status, err: fmt.Errorf("asking %s: it has another storage, %s", addr,
			clean(status.StorageID))}
	}
	if err == nil {
		err = state.Believe(status.Highest(), known)
	}
	if err != nil {
		return answer{addr: addr, err: fmt.Errorf("asking %s: %w", addr, err)}
	}
	return answer{addr: addr, status: status}
}

// maxSaid is how many bytes of a text of another node are shown.
const maxSaid = 300

// clean is what is shown of a text of another node.
func clean(s string) string { return printable.Short(s, maxSaid) }

// latest returns the highest epoch that this node or another one knows to have begun.
func latest(id *state.State, answers []answer) uint64 {
	top := id.Latest()
	for _, a := range answers {
		if a.status != nil {
			top = max(top, a.status.Begun())
		}
	}
	return top
}

// highest returns the highest epoch that this node or another one has heard of, or voted for.
func highest(id *state.State, answers []answer) uint64 {
	top := id.Highest()
	for _, a := range answers {
		if a.status != nil {
			top = max(top, a.status.Highest())
		}
	}
	return top
}
