package node

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
const bidTimeout = 2 * time.Second

// Standing is primary.Member.
func (r *replica) Standing() primary.Standing {
	st := primary.Standing{
		Node: r.keep.Node(), Leads: r.isLeading() && !r.fenced() && !r.stopped(), Sync: r.syncRule(),
	}
	if id := r.keep.State(); id != nil {
		st.Foreign = id.ExternalHistory
	}
	if now := r.sec.Status(); !st.Leads && now.Connected {
		st.Path = now.Path
	}
	return st
}

// Bid is primary.Member: it answers a node that wants to be primary. What it promises is durable, and whom it followed
// is given up, before it answers.
func (r *replica) Bid(ctx context.Context, bid *protocol.Bid) (*protocol.Promise, *protocol.Refusal) {
	if refusal := r.believes(bid); refusal != nil {
		return nil, refusal
	}
	if bid.Epoch == 0 {
		if id := r.keep.State(); id != nil && bid.StorageID == id.StorageID && bid.Heard > id.Latest() {
			r.Outranked(bid.Heard)
		}
		if id := r.keep.State(); id != nil && bid.StorageID == id.StorageID && bid.Leads && bid.Heard >= id.Latest() {
			r.events.note(func(n *pendingEvents) { n.leader = bid.Serves })
		}
		return r.promise(), nil
	}
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: "the role of this node is being changed: " +
			"try again"}
	}
	switch id := r.keep.State(); {
	case id == nil:
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: state.ErrNoState.Error()}
	case bid.Epoch <= id.Highest():
		return nil, &protocol.Refusal{Code: protocol.CodeOutranked, Tid: r.st.LastTid(), Text: fmt.Sprintf(
			"%s has seen epoch %d, so epoch %d cannot begin: ask again with a higher one", r.status.base.Name,
			id.Highest(), bid.Epoch)}
	}
	if err := r.grant(ctx, bid); err != nil {
		return nil, &protocol.Refusal{Code: protocol.CodeInternal, Text: fmt.Sprintf("%s cannot vote: %v",
			r.status.base.Name, err)}
	}
	r.c.Logger.Info("voted: this node follows no primary of a lower epoch", "epoch", bid.Epoch, "asking_node", bid.Name)
	return r.promise(), nil
}

// believes refuses numbers of epochs that cannot be: written down, they would leave none for later promotions.
func (r *replica) believes(bid *protocol.Bid) *protocol.Refusal {
	id := r.keep.State()
	if id == nil || bid.StorageID != id.StorageID {
		return nil
	}
	if err := state.Believe(max(bid.Epoch, bid.Heard), id.Highest()); err != nil {
		return &protocol.Refusal{Code: protocol.CodeOutranked, Tid: r.st.LastTid(), Text: err.Error()}
	}
	return nil
}

// grant makes the promise.
func (r *replica) grant(ctx context.Context, bid *protocol.Bid) error {
	r.leader = bid.Serves // it is looked for there first: other addresses may be silent
	if r.isLeading() {
		return r.fence(ctx, bid.Epoch, false, bid.Serves)
	}
	r.stopFollowing()
	defer r.follow()
	return r.keep.Update(func(id *state.State) error {
		id.Vote(bid.Epoch, bid.Node)
		id.FollowFirst([]string{bid.Serves})
		return nil
	})
}

// promise says how this node stands.
func (r *replica) promise() *protocol.Promise {
	p := &protocol.Promise{
		Node: r.keep.Node(), Run: r.self, Name: r.status.base.Name, LastTid: r.st.LastTid(),
		Wants: r.wants.Load(),
	}
	if p.Leads = r.isLeading() && !r.fenced() && !r.c.leaving.Load(); p.Leads {
		since := r.leadingSince()
		p.LeadingSince = since.UTC().Format(time.RFC3339Nano)
		p.LeadingFor = uint64(max(0, time.Since(since).Milliseconds()))
	}
	p.Ails = r.faultReason()
	if now := r.sec.Status(); !p.Leads && now.Connected {
		p.Follows = now.Address
	}
	if id := r.keep.State(); id != nil {
		p.StorageID, p.Node, p.Epochs = id.StorageID, id.Node, id.Epochs
		p.Promised, p.Heard = id.MaxEpochSeen, id.MaxEpochBegun
	}
	return p
}

// An answer is what became of a bid at one address.
type answer struct {
	addr     string
	promise  *protocol.Promise // nil: err says why
	stranger *protocol.Promise // of a node of another storage; nil: it is none
	err      error
}

// identity returns the id of the storage at an address, something where only that it has one is known, and nothing
// where it has none or did not answer.
func (a *answer) identity() string {
	var refusal *protocol.Refusal
	switch {
	case a.stranger != nil:
		return clean(a.stranger.StorageID)
	case a.promise != nil:
		return a.promise.StorageID
	case errors.As(a.err, &refusal) && (refusal.Code == protocol.CodeWrongStorage ||
		refusal.Code == protocol.CodeNotMember):
		return "of an unknown id"
	}
	return ""
}

// name returns how the node at an address calls itself.
func (a *answer) name() string {
	switch {
	case a.stranger != nil:
		return clean(a.stranger.Name)
	case a.promise != nil:
		return clean(a.promise.Name)
	}
	return "a node"
}

// others returns the addresses of all members that are known but this one.
func (r *replica) others() (list []string) {
	for _, addr := range append(r.addresses(), r.known()...) {
		if addr != r.serves && !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// ask makes a bid to other members, at the same time, and returns the answers of others than this node. Epoch 0 only
// asks how things stand.
func (r *replica) ask(ctx context.Context, epoch uint64, addresses []string) []answer {
	bid := &protocol.Bid{Epoch: epoch}
	if id := r.keep.State(); id != nil {
		bid.StorageID, bid.Heard = id.StorageID, id.Latest()
	}
	return r.send(ctx, bid, addresses)
}

// send makes a bid to several nodes. Who answers with the id of this node is this one only if it is the same process.
func (r *replica) send(ctx context.Context, bid *protocol.Bid, addresses []string) []answer {
	bid.Version, bid.Node, bid.Run = protocol.MessageVersion, r.keep.Node(), r.self
	bid.Name, bid.Serves, bid.LastTid = r.status.base.Name, r.serves, r.st.LastTid()
	bid.Leads = r.isLeading() && !r.fenced() && !r.stopped()
	answers := make([]answer, len(addresses))
	var all sync.WaitGroup
	for i, addr := range addresses {
		own := *bid // sending writes its sums
		all.Go(func() { answers[i] = r.c.bid(ctx, addr, &own) })
	}
	all.Wait()
	return slices.DeleteFunc(answers, func(a answer) bool {
		return a.promise != nil && a.promise.Node == bid.Node && (a.promise.Run == "" || a.promise.Run == bid.Run)
	})
}

// reached returns the addresses at which somebody has answered.
func reached(answers []answer) (list []string) {
	for _, a := range answers {
		if a.promise != nil {
			list = append(list, a.addr)
		}
	}
	return list
}

// bid asks one node.
func (c *Config) bid(ctx context.Context, addr string, bid *protocol.Bid) answer {
	ctx, cancel := context.WithTimeout(ctx, bidTimeout)
	defer cancel()
	promise, err := c.bidAt(ctx, addr, bid)
	switch {
	case err != nil:
		return answer{addr: addr, err: fmt.Errorf("asking %s: %w", addr, err)}
	case promise.StorageID != bid.StorageID:
		return answer{addr: addr, stranger: promise, err: fmt.Errorf("asking %s: it has another storage, %s", addr,
			clean(promise.StorageID))}
	}
	return answer{addr: addr, promise: promise}
}

func (c *Config) bidAt(ctx context.Context, addr string, bid *protocol.Bid) (*protocol.Promise, error) {
	conn, err := c.dialServer(ctx, addr)
	if err != nil {
		return nil, err
	}
	msg, err := protocol.Ask(ctx, conn, c.read.secret, bid, protocol.SessionOptions{Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	m, ok := msg.(*protocol.Promise)
	if !ok {
		return nil, fmt.Errorf("it answered a vote request with a %T", msg)
	}
	if m.StorageID != bid.StorageID {
		return m, nil
	}
	if err := state.Believe(m.Highest(), max(bid.Heard, bid.Epoch)); err != nil {
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
		if a.promise != nil {
			top = max(top, a.promise.Begun())
		}
	}
	return top
}

// highest returns the highest epoch that this node or another one has heard of, or promised.
func highest(id *state.State, answers []answer) uint64 {
	top := id.Highest()
	for _, a := range answers {
		if a.promise != nil {
			top = max(top, a.promise.Highest())
		}
	}
	return top
}
