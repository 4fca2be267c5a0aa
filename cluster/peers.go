package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// How often the other nodes are asked how they are: while somebody looks, and while nobody does, so that of a node that
// has become silent it is known how it was. maxPeers bounds how many are asked.
const (
	PeersWatched = 2 * time.Second
	peersIdle    = 15 * time.Second
	maxPeers     = 64
	peersKept    = time.Hour // for how long one is asked that no other node names any more
)

// A Peer is what this node knows of another one, for people.
type Peer struct {
	Address string               // where it is asked
	Status  *protocol.NodeStatus // its last answer; nil: there was none
	Asked   time.Time            // when it was asked for it
	Heard   time.Time            // when it came
	Err     error                // why it did not answer the last time; nil: it did
}

// peers is what the other nodes have answered. It may be used concurrently.
type peers struct {
	wanted chan struct{} // one slot: somebody looks

	mu    sync.Mutex
	known map[string]Peer // by address
	asked time.Time       // when the last round ended
	begun time.Time       // when it began
	need  time.Time       // it is to have begun after this
	round chan struct{}   // closed, and replaced, when a round has ended
}

func newPeers() peers {
	return peers{wanted: make(chan struct{}, 1), known: map[string]Peer{}, round: make(chan struct{})}
}

// PeersSince returns what is known of the other nodes, by their addresses. Where they were asked before a time it asks
// them again, and waits for the answers until ctx ends.
func (n *Node) PeersSince(ctx context.Context, since time.Time) []Peer {
	p := &n.peers
	for ctx.Err() == nil && n.life.Err() == nil {
		p.mu.Lock()
		round, old := p.round, p.begun.Before(since)
		if old && since.After(p.need) {
			p.need = since
		}
		p.mu.Unlock()
		if !old {
			break
		}
		select {
		case p.wanted <- struct{}{}:
		default:
		}
		select {
		case <-round:
		case <-n.life.Done():
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Peer, 0, len(p.known))
	for _, addr := range slices.Sorted(maps.Keys(p.known)) {
		list = append(list, p.known[addr])
	}
	return list
}

// watchPeers asks the other nodes until ctx ends. The questions name no storage, so that nobody acts upon them.
func (n *Node) watchPeers(ctx context.Context) {
	for {
		n.askPeers(ctx)
		idle := time.NewTimer(peersIdle)
		select {
		case <-n.peers.wanted:
		case <-idle.C:
		case <-ctx.Done():
		}
		idle.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// named returns where those can be asked that other nodes follow, and that follow them, each once.
func (n *Node) named(answers []answer) (list []string) {
	for _, a := range answers {
		s := a.otherStorage // of this node's storage, which was not named
		if s == nil {
			continue
		}
		if s.UpstreamAddr != "" {
			list = append(list, s.UpstreamAddr)
		}
		if n.opt.Followers != nil {
			list = append(list, n.opt.Followers(s.Report)...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// askPeers asks each once, unless that was just done, and those that these name.
func (n *Node) askPeers(ctx context.Context) {
	p, addresses := &n.peers, n.others()
	p.mu.Lock()
	begun := time.Now()
	recent := begun.Sub(p.asked) < PeersWatched && !p.begun.Before(p.need)
	for addr := range p.known {
		if time.Since(p.known[addr].Heard) < peersKept && !slices.Contains(addresses, addr) {
			addresses = append(addresses, addr)
		}
	}
	p.mu.Unlock()
	if recent {
		return
	}
	var answers []answer
	for asked := []string{n.opt.ReplicationAddr}; len(addresses) > 0; { // on the way to the primary, and to others
		addresses = addresses[:min(len(addresses), max(0, maxPeers-len(asked)))]
		asked = append(asked, addresses...)
		news := n.askEach(addresses, func(addr string) answer {
			sent := time.Now()
			a := n.askStatusAt(ctx, addr, n.statusRequest())
			a.asked, a.heard = sent, time.Now()
			return a
		})
		answers = append(answers, news...)
		addresses = slices.DeleteFunc(n.named(news), func(addr string) bool { return slices.Contains(asked, addr) })
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.known
	p.known = make(map[string]Peer, len(answers))
	for _, a := range answers {
		peer := before[a.addr]
		peer.Address, peer.Err = a.addr, a.err
		switch {
		case a.status != nil:
			peer.Status = a.status
		case a.otherStorage != nil: // of this node's, which was not named
			peer.Status, peer.Err = a.otherStorage, nil
		}
		if peer.Err == nil {
			peer.Asked, peer.Heard = a.asked, a.heard
		}
		if s := peer.Status; s == nil || s.Node != n.keep.Node() || s.Run != n.opt.Self {
			p.known[a.addr] = peer
		}
	}
	p.asked, p.begun = time.Now(), begun
	close(p.round)
	p.round = make(chan struct{})
}
