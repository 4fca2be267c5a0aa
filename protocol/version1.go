package protocol

import (
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Version 1 of the messages, which nodes of before the first release speak. Its messages have other kinds and keys, a
// status question is a vote request ("bid") with epoch 0, and both are answered by a "promise". Each message that
// version 2 has changed stands here as it was, in the order of its keys. A Control converts them, so that nobody else
// knows of version 1.

// OldestVersion is the oldest version of the messages that a Control reads and sends.
const OldestVersion = 1

// KnownVersion reports whether a Control reads and sends messages of this version.
func KnownVersion(version int) bool { return version >= OldestVersion && version <= MessageVersion }

// The kinds of messages that only version 1 has.
const (
	kindBid      = "bid"      // a vote request, or with epoch 0 a status request
	kindPromise  = "promise"  // the answer to either
	kindPrepare  = "prepare"  // a handover check
	kindPrepared = "prepared" // the answer to that
)

type helloV1 struct {
	Version      int        `msgpack:"version"`
	StorageID    string     `msgpack:"storage"`
	Epochs       []Epoch    `msgpack:"epochs"`
	Last         Position   `msgpack:"last"`
	Magic        zodb.Magic `msgpack:"magic"`
	Blobs        bool       `msgpack:"blobs"`
	Name         string     `msgpack:"name"`
	Capabilities []string   `msgpack:"capabilities"`

	Node             string `msgpack:"node"`
	MaxEpochSeen     uint64 `msgpack:"promised"`
	MaxEpochBegun    uint64 `msgpack:"heard"`
	Successor        string `msgpack:"handed_to"`
	ReplicationAddr  string `msgpack:"serves"`
	Checksum         uint64 `msgpack:"check"`
	IdentityChecksum uint64 `msgpack:"sum"`
	ChecksumV1       uint64 `msgpack:"-"`
}

func (h *helloV1) checksum() *uint64             { return &h.Checksum }
func (h *helloV1) identityChecksum() *uint64     { return &h.IdentityChecksum }
func (h *helloV1) identity() ([]Epoch, []string) { return (*Hello)(h).identity() }
func (h *helloV1) current() any                  { return (*Hello)(h) }

func (h *helloV1) numbers() []uint64 {
	return withBegun([]uint64{(*Hello)(h).Highest(), uint64(h.Last.Tid)}, h.MaxEpochBegun)
}

type welcomeV1 struct {
	Version      int           `msgpack:"version"`
	StorageID    string        `msgpack:"storage"`
	Epochs       []Epoch       `msgpack:"epochs"`
	LastTid      zodb.Tid      `msgpack:"last"`
	Size         int64         `msgpack:"size"`
	Magic        zodb.Magic    `msgpack:"magic"`
	Blobs        bool          `msgpack:"blobs"`
	Heartbeat    time.Duration `msgpack:"heartbeat"`
	Name         string        `msgpack:"name"`
	Capabilities []string      `msgpack:"capabilities"`
	Token        Token         `msgpack:"token"`

	Node             string      `msgpack:"node"`
	IsPrimary        bool        `msgpack:"leads"`
	UpstreamPath     []string    `msgpack:"path"`
	Checksum         uint64      `msgpack:"check"`
	IdentityChecksum uint64      `msgpack:"sum"`
	IdentityDigest   zodb.Digest `msgpack:"-"`
}

func (w *welcomeV1) checksum() *uint64             { return &w.Checksum }
func (w *welcomeV1) numbers() []uint64             { return (*Welcome)(w).numbers() }
func (w *welcomeV1) identityChecksum() *uint64     { return &w.IdentityChecksum }
func (w *welcomeV1) identity() ([]Epoch, []string) { return (*Welcome)(w).identity() }
func (w *welcomeV1) current() any                  { return (*Welcome)(w) }

type heartbeatV1 struct {
	LastTid zodb.Tid        `msgpack:"last"`
	Size    int64           `msgpack:"size"`
	Clock   time.Time       `msgpack:"clock"`
	Roster  []rosterEntryV1 `msgpack:"roster"`
	Sync    SyncRule        `msgpack:"sync"`
}

type rosterEntryV1 struct {
	Node            string        `msgpack:"node"`
	Name            string        `msgpack:"name"`
	ReplicationAddr string        `msgpack:"serves"`
	Durable         zodb.Tid      `msgpack:"durable"`
	Age             time.Duration `msgpack:"age"`
}

func (h *heartbeatV1) current() any {
	out := &Heartbeat{LastTid: h.LastTid, Size: h.Size, Clock: h.Clock, Sync: h.Sync}
	for _, e := range h.Roster {
		out.Roster = append(out.Roster, RosterEntry(e))
	}
	return out
}

func heartbeatToV1(h *Heartbeat) *heartbeatV1 {
	out := &heartbeatV1{LastTid: h.LastTid, Size: h.Size, Clock: h.Clock, Sync: h.Sync}
	for _, e := range h.Roster {
		out.Roster = append(out.Roster, rosterEntryV1(e))
	}
	return out
}

// A bidV1 is a vote request, or with Epoch 0 a status request.
type bidV1 struct {
	Version          int      `msgpack:"version"`
	StorageID        string   `msgpack:"storage"`
	Epoch            uint64   `msgpack:"epoch"`
	MaxEpochBegun    uint64   `msgpack:"heard"`
	Node             string   `msgpack:"node"`
	Run              string   `msgpack:"run"`
	Name             string   `msgpack:"name"`
	ReplicationAddr  string   `msgpack:"serves"`
	IsPrimary        bool     `msgpack:"leads"`
	LastTid          zodb.Tid `msgpack:"last"`
	Checksum         uint64   `msgpack:"check"`
	IdentityChecksum uint64   `msgpack:"sum"`
}

func (b *bidV1) checksum() *uint64         { return &b.Checksum }
func (b *bidV1) numbers() []uint64         { return []uint64{b.Epoch, b.MaxEpochBegun, uint64(b.LastTid)} }
func (b *bidV1) identityChecksum() *uint64 { return &b.IdentityChecksum }

func (b *bidV1) identity() ([]Epoch, []string) { //nolint:unparam // it has no list of epochs
	return nil, []string{b.StorageID, b.Node, b.Run}
}

func (b *bidV1) current() any {
	status := StatusRequest{
		Version: b.Version, StorageID: b.StorageID, MaxEpochBegun: b.MaxEpochBegun, Node: b.Node, Run: b.Run,
		Name: b.Name, ReplicationAddr: b.ReplicationAddr, IsPrimary: b.IsPrimary, LastTid: b.LastTid,
		Checksum: b.Checksum, IdentityChecksum: b.IdentityChecksum,
	}
	if b.Epoch == 0 {
		return &status
	}
	return &VoteRequest{Epoch: b.Epoch, StatusRequest: status}
}

func requestToV1(epoch uint64, r *StatusRequest) *bidV1 {
	return &bidV1{
		Version: OldestVersion, StorageID: r.StorageID, Epoch: epoch, MaxEpochBegun: r.MaxEpochBegun, Node: r.Node,
		Run: r.Run, Name: r.Name, ReplicationAddr: r.ReplicationAddr, IsPrimary: r.IsPrimary, LastTid: r.LastTid,
	}
}

type promiseV1 struct {
	StorageID        string   `msgpack:"storage"`
	Node             string   `msgpack:"node"`
	Run              string   `msgpack:"run"`
	Name             string   `msgpack:"name"`
	Epochs           []Epoch  `msgpack:"epochs"`
	MaxEpochSeen     uint64   `msgpack:"promised"`
	MaxEpochBegun    uint64   `msgpack:"heard"`
	IsPrimary        bool     `msgpack:"leads"`
	FaultReason      string   `msgpack:"ails"`
	UpstreamAddr     string   `msgpack:"follows"`
	PrimarySince     string   `msgpack:"leading_since"`
	PrimaryForMS     uint64   `msgpack:"leading_for"`
	AsksIdentity     bool     `msgpack:"wants"`
	Learner          bool     `msgpack:"learner,omitempty"`
	Spare            bool     `msgpack:"spare,omitempty"`
	Report           []byte   `msgpack:"-"`
	LastTid          zodb.Tid `msgpack:"last"`
	Checksum         uint64   `msgpack:"check"`
	IdentityChecksum uint64   `msgpack:"sum"`
}

func (p *promiseV1) checksum() *uint64             { return &p.Checksum }
func (p *promiseV1) identityChecksum() *uint64     { return &p.IdentityChecksum }
func (p *promiseV1) identity() ([]Epoch, []string) { return (*NodeStatus)(p).identity() }
func (p *promiseV1) current() any                  { return (*NodeStatus)(p) }

func (p *promiseV1) numbers() []uint64 {
	return withBegun([]uint64{(*NodeStatus)(p).Highest(), uint64(p.LastTid), boolNumber(p.IsPrimary)}, p.MaxEpochBegun)
}

type prepareV1 struct {
	Epoch    uint64   `msgpack:"epoch"`
	Last     zodb.Tid `msgpack:"last"`
	Checksum uint64   `msgpack:"check"`
}

func (p *prepareV1) checksum() *uint64 { return &p.Checksum }
func (p *prepareV1) numbers() []uint64 { return (*HandoverCheck)(p).numbers() }
func (p *prepareV1) current() any      { return (*HandoverCheck)(p) }

type preparedV1 struct {
	Epoch uint64 `msgpack:"epoch"`
	Error string `msgpack:"error"`
}

func (p *preparedV1) current() any { return (*HandoverReady)(p) }

type takeOverV1 struct {
	Epoch    uint64   `msgpack:"epoch"`
	Last     zodb.Tid `msgpack:"last"`
	Checksum uint64   `msgpack:"check"`
}

func (t *takeOverV1) checksum() *uint64 { return &t.Checksum }
func (t *takeOverV1) numbers() []uint64 { return (*TakeOver)(t).numbers() }
func (t *takeOverV1) current() any      { return (*TakeOver)(t) }

// withBegun adds the highest begun epoch that a node has heard of to the numbers of a checksum. The first nodes of
// version 1 said nothing of it.
func withBegun(numbers []uint64, epoch uint64) []uint64 {
	if epoch == 0 {
		return numbers
	}
	return append(numbers, epoch)
}

// A messageV1 is a message of version 1 that version 2 has in another form.
type messageV1 interface {
	current() any // the message of the newest version that says the same
}

// newMessageV1 returns an empty message of a kind of version 1, nil where that is the same in version 2 or unknown.
func newMessageV1(kind string) messageV1 {
	switch kind {
	case kindHello:
		return new(helloV1)
	case kindWelcome:
		return new(welcomeV1)
	case kindHeartbeat:
		return new(heartbeatV1)
	case kindBid:
		return new(bidV1)
	case kindPromise:
		return new(promiseV1)
	case kindPrepare:
		return new(prepareV1)
	case kindPrepared:
		return new(preparedV1)
	case kindTakeOver:
		return new(takeOverV1)
	}
	return nil
}

// toV1 returns the kind and the message by which version 1 says the same as msg.
func toV1(kind string, msg any) (kindV1 string, body any) {
	switch m := msg.(type) {
	case *Hello:
		h := helloV1(*m)
		h.Version = OldestVersion
		return kindHello, &h
	case *Welcome:
		w := welcomeV1(*m)
		w.Version = OldestVersion
		return kindWelcome, &w
	case *Heartbeat:
		return kindHeartbeat, heartbeatToV1(m)
	case *HistoryQuery:
		q := *m
		q.Version = OldestVersion
		return kindHistoryQuery, &q
	case *StatusRequest:
		return kindBid, requestToV1(0, m)
	case *VoteRequest:
		return kindBid, requestToV1(m.Epoch, &m.StatusRequest)
	case *NodeStatus:
		p := promiseV1(*m)
		return kindPromise, &p
	case *Vote:
		p := promiseV1(m.NodeStatus)
		return kindPromise, &p
	case *HandoverCheck:
		p := prepareV1(*m)
		return kindPrepare, &p
	case *HandoverReady:
		return kindPrepared, m
	case *TakeOver:
		t := takeOverV1(*m)
		return kindTakeOver, &t
	}
	return kind, msg
}
