package node

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/protocol"
)

// report is what the node says of itself to others, for people.
func (f *nodeStatus) report() []byte {
	st := f.Status()
	r := admin.ReportOf(&st)
	return r.Encode(protocol.MaxReport)
}

// followersIn returns where the nodes can be asked that a report of another one names.
func followersIn(report []byte) (list []string) {
	if len(report) > protocol.MaxReport {
		return nil
	}
	r := admin.ReadReport(report)
	for i := range r.Followers {
		if addr := r.Followers[i].Address; addr != "" && r.Followers[i].State != "disconnected" {
			list = append(list, addr)
		}
	}
	return list
}

// Peers is admin.PeerSource.
func (f *nodeStatus) Peers(ctx context.Context) []admin.ClusterNode {
	return f.peersSince(ctx, time.Now().Add(-cluster.PeersWatched))
}

// peersSince returns what is known of the other nodes. Those that were asked before a time are asked again.
func (f *nodeStatus) peersSince(ctx context.Context, since time.Time) (list []admin.ClusterNode) {
	f.mu.Lock()
	ask := f.peers
	f.mu.Unlock()
	if ask == nil {
		return nil
	}
	for _, p := range ask(ctx, since) {
		list = append(list, peerNode(&p))
	}
	return list
}

// maxPeerText is how much of a text of another node is shown.
const maxPeerText = 300

// clockAhead is by how many seconds the clock of a node is at least ahead of this one's. It showed a time between the
// question and the answer.
func clockAhead(shows *time.Time, asked, heard time.Time) *float64 {
	switch {
	case shows == nil:
		return nil
	case shows.After(heard):
		return admin.Known(shows.Sub(heard).Seconds())
	case shows.Before(asked):
		return admin.Known(shows.Sub(asked).Seconds())
	}
	return admin.Known(0.0)
}

// peerNode is what another node has said, for people. Older versions say less.
func peerNode(p *cluster.Peer) admin.ClusterNode {
	n := admin.ClusterNode{Address: p.Address, Source: "nothing"}
	if p.Err != nil {
		n.Error = admin.Known(p.Err.Error())
	}
	s := p.Status
	if s == nil {
		return n
	}
	shown := func(text string) string { return printable.Short(text, maxPeerText) }
	n.Source, n.Heard = "answer", admin.Known(p.Heard.UTC())
	n.Name, n.NodeID, n.Run, n.Storage = shown(s.Name), shown(s.Node), shown(s.Run), shown(s.StorageID)
	n.LastTid = admin.NonZero(s.LastTid)
	if len(s.Report) <= protocol.MaxReport {
		n.Report = admin.ReadReport(s.Report)
	}
	n.ClockAhead = clockAhead(n.Now, p.Asked, p.Heard)
	n.Learner = s.Learner
	n.Role = roleSecondary
	if s.IsPrimary || n.Fenced { // a fenced one is still to be the primary, by its own words
		n.Role = rolePrimary
	}
	if n.Follows == nil && s.UpstreamAddr != "" {
		n.Follows = admin.Known(shown(s.UpstreamAddr))
	}
	if len(s.Epochs) > 0 {
		e := s.Epochs[len(s.Epochs)-1]
		n.Epoch = &admin.Epoch{Number: e.Number, Begin: admin.NonZero(e.Begin), By: admin.NonZero(shown(e.By)),
			At: admin.NonZero(shown(e.At))}
		if s.MaxEpochSeen > e.Number {
			n.MaxEpochSeen = admin.Known(s.MaxEpochSeen)
		}
	}
	return n
}
