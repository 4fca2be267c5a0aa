package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
)

// bidTimeout is how long another node may take to answer a bid.
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

// Vote is primary.Member: it answers a node that wants to be primary. What it promises is durable, and whom it followed
// is given up, before it answers.
func (n *Node) Vote(ctx context.Context, req *protocol.VoteRequest) (*protocol.NodeStatus, *protocol.Refusal) {
	if refusal := n.believes(req); refusal != nil {
		return nil, refusal
	}
	if req.Epoch == 0 {
		if id := n.keep.State(); id != nil && req.StorageID == id.StorageID && req.MaxEpochBegun > id.Latest() {
			n.Outranked(req.MaxEpochBegun)
		}
		if id := n.keep.State(); id != nil && req.StorageID == id.StorageID && req.IsPrimary &&
			req.MaxEpochBegun >= id.Latest() {
			n.events.note(func(e *pendingEvents) { e.leader = req.ReplicationAddr })
		}
		return n.ownStatus(), nil
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
	return n.ownStatus(), nil
}

// believes refuses numbers of epochs that cannot be: written down, they would leave none for later promotions.
func (n *Node) believes(req *protocol.VoteRequest) *protocol.Refusal {
	id := n.keep.State()
	if id == nil || req.StorageID != id.StorageID {
		return nil
	}
	if err := state.Believe(max(req.Epoch, req.MaxEpochBegun), id.Highest()); err != nil {
		return &protocol.Refusal{Code: protocol.CodeOutranked, Tid: n.st.LastTid(), Text: err.Error()}
	}
	return nil
}

// grant makes the promise.
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

// promise says how this node stands.
func (n *Node) ownStatus() *protocol.NodeStatus {
	p := &protocol.NodeStatus{
		Node: n.keep.Node(), Run: n.opt.Self, Name: n.opt.Name, LastTid: n.st.LastTid(),
		AsksIdentity: n.asksIdentity.Load(),
	}
	if p.IsPrimary = n.IsPrimary() && !n.Fenced() && !n.opt.stopping(); p.IsPrimary {
		since := n.leadingSince()
		p.PrimarySince = since.UTC().Format(time.RFC3339Nano)
		p.PrimaryForMS = uint64(max(0, time.Since(since).Milliseconds()))
	}
	p.FaultReason = n.FaultReason()
	if now := n.sec.Status(); !p.IsPrimary && now.Connected {
		p.UpstreamAddr = now.Address
	}
	if id := n.keep.State(); id != nil {
		p.StorageID, p.Node, p.Epochs = id.StorageID, id.Node, id.Epochs
		p.MaxEpochSeen, p.MaxEpochBegun = id.MaxEpochSeen, id.MaxEpochBegun
	}
	return p
}

// An answer is what became of a request at one address.
type answer struct {
	addr         string
	status       *protocol.NodeStatus // nil: err says why
	otherStorage *protocol.NodeStatus // of a node of another storage; nil: it is none
	err          error
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

// ask sends a vote request to other members, at the same time, and returns the answers of others than this node. Epoch
// 0 only asks how things stand.
func (n *Node) ask(ctx context.Context, epoch uint64, addresses []string) []answer {
	req := &protocol.VoteRequest{Epoch: epoch}
	if id := n.keep.State(); id != nil {
		req.StorageID, req.MaxEpochBegun = id.StorageID, id.Latest()
	}
	return n.request(ctx, req, addresses)
}

// request sends a request to several nodes. Who answers with the id of this node is this one only if it is the same
// process.
func (n *Node) request(ctx context.Context, req *protocol.VoteRequest, addresses []string) []answer {
	req.Version, req.Node, req.Run = protocol.MessageVersion, n.keep.Node(), n.opt.Self
	req.Name, req.ReplicationAddr, req.LastTid = n.opt.Name, n.opt.ReplicationAddr, n.st.LastTid()
	req.IsPrimary = n.IsPrimary() && !n.Fenced() && !n.stopped()
	answers := make([]answer, len(addresses))
	var all sync.WaitGroup
	for i, addr := range addresses {
		own := *req // sending writes its sums
		all.Go(func() { answers[i] = n.requestFrom(ctx, addr, &own) })
	}
	all.Wait()
	return slices.DeleteFunc(answers, func(a answer) bool {
		return a.status != nil && a.status.Node == req.Node && (a.status.Run == "" || a.status.Run == req.Run)
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

// bid asks one node.
func (n *Node) requestFrom(ctx context.Context, addr string, req *protocol.VoteRequest) answer {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	status, err := n.requestAt(ctx, addr, req)
	switch {
	case err != nil:
		return answer{addr: addr, err: fmt.Errorf("asking %s: %w", addr, err)}
	case status.StorageID != req.StorageID:
		return answer{addr: addr, otherStorage: status, err: fmt.Errorf("asking %s: it has another storage, %s", addr,
			clean(status.StorageID))}
	}
	return answer{addr: addr, status: status}
}

func (n *Node) requestAt(ctx context.Context, addr string, req *protocol.VoteRequest) (*protocol.NodeStatus, error) {
	conn, err := n.opt.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	msg, err := protocol.Ask(ctx, conn, n.opt.Secret, req, protocol.SessionOptions{Logger: n.opt.Logger})
	if err != nil {
		return nil, err
	}
	m, ok := msg.(*protocol.NodeStatus)
	if !ok {
		return nil, fmt.Errorf("it answered a vote request with a %T", msg)
	}
	if m.StorageID != req.StorageID {
		return m, nil
	}
	if err := state.Believe(m.Highest(), max(req.MaxEpochBegun, req.Epoch)); err != nil {
		return nil, err
	}
	return m, nil
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

// highest returns the highest epoch that this node or another one has heard of, or promised.
func highest(id *state.State, answers []answer) uint64 {
	top := id.Highest()
	for _, a := range answers {
		if a.status != nil {
			top = max(top, a.status.Highest())
		}
	}
	return top
}
