package cluster

import (
	"context"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// What tests with whole nodes see of a node: these are in package cluster_test, because package node imports this one.

const (
	TidGap    = tidGap
	WhyUntold = whyUntold
)

var OpeningText = openingText

func (n *Node) Storage() *filestorage.Storage { return n.st }
func (n *Node) Keeper() *state.Keeper         { return n.keep }
func (n *Node) Following() Secondary          { return n.sec }

func (n *Node) StopFollowing()  { n.stopFollowing() }
func (n *Node) StartFollowing() { n.follow() }

func (n *Node) Elsewhere(ctx context.Context) zeo.Leader           { return n.leaderElsewhere(ctx) }
func (n *Node) Cleared(ctx context.Context, tid zodb.Tid) error    { return n.awaitCommitted(ctx, tid) }
func (n *Node) Synced() zodb.Tid                                   { return n.replicationServer.Synced() }
func (n *Node) NoteAccess(access zeo.Access)                       { n.noteAccess(access) }
func (n *Node) SetSeen(epoch uint64)                               { n.highestLeader.Store(epoch) }
func (n *Node) SetStopping()                                       { n.opt.Stopping = func() bool { return true } }
func (n *Node) BeginHigherEpoch(ctx context.Context) error         { return n.beginHigherEpoch(ctx) }
func (n *Node) Believed() zodb.Tid                                 { return n.highestBelieved() }
func (n *Node) ClientLeft()                                        { n.clientLeft() }
func (n *Node) LaterSeen() zodb.Tid                                { return n.events.take().later }
func (n *Node) Surpass(ctx context.Context, t zodb.Tid, left bool) { n.surpass(ctx, t, left) }

func (n *Node) HeardFrom(p *protocol.NodeStatus) { n.heardFrom([]answer{{status: p}}) }

func (n *Node) Elect(ctx context.Context, number uint64, tell func(admin.Step)) error {
	return n.elect(ctx, number, tell)
}

func (n *Node) Fence(ctx context.Context, epoch uint64, begun bool, addr string) error {
	return n.fence(ctx, epoch, begun, addr)
}

func (n *Node) BeginEpoch(epoch uint64, last zodb.Tid, voters []string) error {
	return n.beginEpoch(epoch, last, voters)
}

// Succeed begins an epoch after a transaction, as a primary has told the node to.
func (n *Node) Succeed(ctx context.Context, epoch uint64, last zodb.Tid) error {
	return n.changeInTurn(ctx, func(context.Context) error { return n.succeed(&handover{epoch, last}) })
}

// AskStatus asks one node.
func (n *Node) AskStatus(ctx context.Context, addr string, req protocol.StatusRequest) (*protocol.NodeStatus, error) {
	a := n.askStatusAt(ctx, addr, req)
	return a.status, a.err
}

// AskVote asks one node.
func (n *Node) AskVote(ctx context.Context, addr string, req protocol.VoteRequest) (*protocol.NodeStatus, error) {
	a := n.askVoteAt(ctx, addr, req)
	return a.status, a.err
}
