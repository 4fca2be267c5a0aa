package node

import (
	"fmt"
	"net"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// showPrimary fills in what a primary says.
func showPrimary(st *admin.Status, src source, p primary.Status) {
	showStorage(&st.Storage, src, time.Now())
	showLeft(st, src)
	st.Storage.ID = admin.NonZero(p.StorageID)
	st.NotReady = notReadyReason(src, &p)
	st.Ready = st.NotReady == nil
	showSecondaries(st, p)
}

// notReadyReason returns why a primary is not ready, nil when it is.
func notReadyReason(src source, p *primary.Status) *string {
	if p.Draining {
		return admin.Known("shutting down")
	}
	if attached, ok := src.(interface{ Err() error }); ok && attached.Err() != nil {
		return admin.Known(attached.Err().Error())
	}
	return nil
}

// showSecondary fills in what a secondary says.
func showSecondary(st *admin.Status, src source, s secondary.Status, readyLag time.Duration) {
	showStorage(&st.Storage, src, time.Now())
	showLeft(st, src)
	st.Storage.ID = admin.NonZero(s.StorageID)
	st.Upstream = &admin.Upstream{
		Address: admin.NonZero(s.Address), Name: admin.NonZero(s.PrimaryName), State: string(s.State),
		Since:    admin.NonZero(s.Since),
		Protocol: admin.NonZero(s.Protocol), LastTid: admin.NonZero(s.PrimaryLast), Applied: admin.NonZero(s.Applied),
		Durable:   admin.NonZero(s.Durable),
		Lag:       admin.Lag{Transactions: s.Lag.Transactions, Bytes: s.Lag.Bytes, Seconds: s.Lag.Seconds},
		LastError: admin.NonZero(s.LastError),
	}
	if s.LastError != "" {
		st.Upstream.LastErrorAt = admin.Known(s.LastErrorTime.UTC())
	}
	if s.Seed != nil {
		st.Upstream.Seed = seedStatus(s.Seed.Done, s.Seed.Total, s.Seed.Begun, time.Now())
	}
	st.Totals.Applied = admin.Traffic{Transactions: s.Transactions, Bytes: s.Bytes}
	st.Totals.Reconnects, st.Totals.DigestErrors = s.Reconnects, s.DigestErrors
	st.Totals.Refusals = map[string]int64{}
	addRefusals(st.Totals.Refusals, s.Refusals)
	st.NotReady = lagReason(&s, readyLag)
	st.Ready = st.NotReady == nil
}

// lagReason returns why a secondary is not ready, nil when it is: near enough to its primary, by what it last heard
// of it.
func lagReason(s *secondary.Status, limit time.Duration) *string {
	switch {
	case s.State == secondary.StateRefused, s.State == secondary.StateFailed:
		return admin.Known(fmt.Sprintf("%s: %s", s.State, s.LastError))
	case s.Lag.Seconds == nil:
		return admin.Known(fmt.Sprintf("%s: not yet known how far behind", s.State))
	case *s.Lag.Seconds > limit.Seconds():
		return admin.Known(fmt.Sprintf("%s: %.0f seconds behind, the limit is %.0f", s.State, *s.Lag.Seconds,
			limit.Seconds()))
	}
	return nil
}

// showSecondaries fills in the secondaries that a node serves, and apart from them those that have disconnected.
func showSecondaries(st *admin.Status, p primary.Status) {
	if p.SourceError != "" {
		st.Storage.LastError, st.Storage.LastErrorAt = &p.SourceError, admin.Known(p.SourceErrorTime.UTC())
	}
	for _, s := range p.Secondaries {
		one := admin.Secondary{
			Name:    s.Name,
			Address: s.Addr,
			State:   string(s.State),
			Since:   admin.NonZero(s.ConnectedSince),
			Protocol: admin.NonZero(
				s.Protocol,
			),
			NodeID:          admin.NonZero(s.Node),
			ReplicationAddr: admin.NonZero(s.ReplicationAddr),
			Sent:            admin.NonZero(s.SentTid),
			Applied:         admin.NonZero(s.AppliedTid),
			Durable:         admin.NonZero(s.DurableTid),
			Lag:             fedLag(&s, p.LastTid),
			Total:           admin.Traffic{Transactions: s.Transactions, Bytes: s.Bytes},
			LastError:       admin.NonZero(s.LastError),
			Trouble:         admin.NonZero(s.Trouble),
		}
		if s.Replaced != nil {
			one.Replaced = &admin.Replaced{NodeID: s.Replaced.Node, Durable: admin.NonZero(s.Replaced.DurableTid)}
		}
		if s.Seed != nil {
			one.Seed = seedStatus(s.Seed.Done, s.Seed.Total, s.Seed.Begun, time.Now())
		}
		if s.State == primary.StateDisconnected {
			one.Since = admin.NonZero(s.GoneSince)
			st.Disconnected = append(st.Disconnected, one)
			continue
		}
		st.Secondaries = append(st.Secondaries, one)
	}
	st.Totals.Sent = admin.Traffic{Transactions: p.Totals.Transactions, Bytes: p.Totals.Bytes}
	st.Totals.CatchUps = admin.CatchUps(p.Totals.CatchUps)
	if st.Totals.Refusals == nil {
		st.Totals.Refusals = map[string]int64{}
	}
	addRefusals(st.Totals.Refusals, p.Totals.Refusals)
}

// seedStatus computes the rate of a seed, and the time that is left at that rate.
func seedStatus(done, total int64, begun, now time.Time) *admin.Seed {
	s := &admin.Seed{Done: done, Total: total, Since: begun.UTC()}
	if d := now.Sub(begun).Seconds(); d > 0 && done > 0 {
		s.Rate = float64(done) / d
		s.Left = admin.Known(float64(total-done) / s.Rate)
	}
	return s
}

// fedLag is not known of a secondary that acknowledges nothing once everything has been sent to it, and of one that
// takes the data file as it is only in bytes.
func fedLag(s *primary.SecondaryStatus, last zodb.Tid) admin.Lag {
	if s.Seed != nil {
		lag := admin.Lag{Bytes: &s.Lag.Bytes}
		if s.DurableTid != 0 {
			lag.Seconds = &s.Lag.Seconds
		}
		return lag
	}
	if s.Silent && s.SentTid >= last {
		return admin.Lag{}
	}
	return admin.Lag{Transactions: &s.Lag.Transactions, Bytes: &s.Lag.Bytes, Seconds: &s.Lag.Seconds}
}

func showStorage(out *admin.Storage, src source, now time.Time) {
	out.Magic = admin.Known(src.Magic().String())
	out.Blobs = src.HasBlobs()
	out.Size = src.Size()
	if st, ok := src.(interface{ Len() int }); ok { // who attaches keeps no index
		out.Objects = admin.Known(int64(st.Len()))
	}
	if st, ok := src.(*filestorage.Storage); ok { // who attaches neither writes nor packs the file
		showWriting(out, st)
	}
	if last := src.LastTid(); last != 0 {
		out.LastTid = &last
		out.LastTime = admin.Known(lastTime(last))
		if ahead := last.Time().Sub(now); ahead > time.Second { // clocks are as much apart
			out.Future = ahead.Seconds()
		}
	}
}

// showWriting fills in how the file was written and packed.
func showWriting(out *admin.Storage, st *filestorage.Storage) {
	out.Sync, out.Lock = admin.DurationsOf(st.SyncTimes()), admin.DurationsOf(st.LockTimes())
	out.Packing = st.Packing()
	if p := st.LastPack(); p != nil {
		out.LastPack = &admin.LastPack{Ended: p.Ended.UTC(), Duration: p.Duration.Seconds(), Packed: p.Packed,
			Before: p.Before, After: p.After}
	}
}

func lastTime(tid zodb.Tid) time.Time { return tid.Time().UTC() }

// codeNames are the reasons for a refusal as status and metrics name them. They are part of both contracts.
var codeNames = map[protocol.Code]string{
	protocol.CodeInternal:       "internal",
	protocol.CodeProtocol:       "protocol",
	protocol.CodeWrongStorage:   "wrong_storage",
	protocol.CodeAhead:          "ahead",
	protocol.CodeDiverged:       "diverged",
	protocol.CodeBlobsRequired:  "blobs_required",
	protocol.CodeTooMany:        "too_many",
	protocol.CodeNotAuthorised:  "not_authorised",
	protocol.CodeMagic:          "magic",
	protocol.CodeShuttingDown:   "shutting_down",
	protocol.CodeUnknownMessage: "unknown_message",
	protocol.CodeBlobsNotShared: "blobs_not_shared",
	protocol.CodeOutranked:      "outranked",
	protocol.CodeNotMember:      "not_member",
	protocol.CodeNameTaken:      "name_taken",
}

// addRefusals adds counts by code to counts by name.
func addRefusals(to map[string]int64, counts map[protocol.Code]int64) {
	for code, n := range counts {
		name, known := codeNames[code]
		if !known {
			name = fmt.Sprintf("code_%d", int(code)) // of a newer peer
		}
		to[name] += n
	}
}

// show fills in what a replicated storage says.
func (s *session) show(st *admin.Status) {
	st.Role = string(s.node.Role())
	if s.node.IsPrimary() {
		showStorage(&st.Storage, s.st, time.Now())
		showLeft(st, s.st)
		st.NotReady, st.Fault = s.notReadyReason(), admin.NonZero(s.node.FaultReason())
		st.Ready = st.NotReady == nil
	} else {
		showSecondary(st, s.st, s.sec.Status(), s.cfg.ReadyLag)
		if s.node.SpareIdle() {
			st.Spare, st.Ready = true, false
			st.NotReady = admin.Known("a spare: it follows nobody while all other nodes have everything")
		}
	}
	if s.c.delay != nil && !s.node.IsPrimary() {
		s.c.delay.show(st)
	}
	if s.replicationServer != nil {
		server := s.replicationServer.Status()
		showSecondaries(st, server)
		if s.node.IsPrimary() && st.NotReady == nil {
			st.NotReady = notReadyReason(s.st, &server)
			st.Ready = st.NotReady == nil
		}
	}
	showChain(&st.Storage, s.chain)
	s.blobs.places.show(&st.Storage)
	s.files.show(st)
	s.showMembership(st)
	s.showConflict(st)
}

// showMembership fills in what the node is among others.
func (s *session) showMembership(st *admin.Status) {
	st.ReplicationAddr, st.Sync = admin.NonZero(s.replicationAddr), s.node.Sync()
	st.AdminAddr = admin.NonZero(s.c.adminFor(s.replicationAddr))
	if st.Coordinator = s.node.Coordinator(); st.Coordinator != nil {
		st.Coordinator.Address = s.c.Coordinator.Address
	}
	id := s.keep.State()
	if id == nil {
		return
	}
	now := id.Epoch()
	st.Storage.ID, st.NodeID = admin.NonZero(id.StorageID), admin.NonZero(id.Node)
	st.Epoch = &admin.Epoch{
		Number: now.Number, Begin: admin.NonZero(now.Begin), By: admin.NonZero(now.By), At: admin.NonZero(now.At),
	}
	if id.MaxEpochSeen > now.Number {
		st.MaxEpochSeen = admin.NonZero(id.MaxEpochSeen)
	}
	for _, a := range id.SetAside {
		st.SetAside = append(st.SetAside, admin.SetAside(a))
	}
	for _, r := range id.Reseeds {
		st.Reseeds = append(st.Reseeds, admin.Reseed{
			Why: r.Why, Found: r.Text, Had: admin.NonZero(r.Had), Name: r.Aside, At: r.At, Auto: r.Auto,
		})
	}
	st.Fenced = s.node.IsPrimary() && s.node.Fenced()
	st.Frozen, st.Copied, st.Learner = id.Frozen, id.Copied, id.Learner
}

// notReadyReason returns why a node that is to be primary is not.
func (s *session) notReadyReason() *string {
	id := s.keep.State()
	switch {
	case s.node.Fenced():
		return admin.Known("another node is now primary: this node takes no transactions; demote it to make it " +
			"follow that node")
	case s.node.FaultReason() != "":
		return admin.Known("it takes no transactions: " + s.node.FaultReason())
	case !s.node.HasLease():
		return admin.Known(
			"commits are held: this primary has no lease; see the coordinator's last error",
		)
	case id != nil && id.Frozen:
		return admin.Known("frozen: it takes no transactions until it is thawed")
	}
	return nil
}

// showConflict fills in what has to be settled.
func (s *session) showConflict(st *admin.Status) {
	c := s.node.Conflict()
	if c == nil {
		return
	}
	st.Conflict = &admin.Conflict{Kind: c.Kind, Text: c.Text}
	if s.node.AsksIdentity() {
		st.Storage.ID = new(string)
	}
	if !c.Harmless {
		st.NotReady, st.Ready = admin.Known(c.Kind+" conflict: "+c.Text), false
	}
}

// adminFor returns where other machines reach the admin server of this node, by its host in another address of it;
// empty: they cannot.
func (c *Config) adminFor(replicationAddr string) string {
	if !isOpen(c.adminAt) {
		return ""
	}
	if own := c.adminAt.Host(); own != "" && !net.ParseIP(own).IsUnspecified() {
		return c.adminAt.String()
	}
	host, _, err := net.SplitHostPort(replicationAddr)
	_, port, portErr := net.SplitHostPort(c.adminAt.String())
	if err != nil || portErr != nil {
		return ""
	}
	return net.JoinHostPort(host, port)
}
