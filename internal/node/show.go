package node

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/primary"
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
	showFed(st, p)
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
	st.Totals.Applied = admin.Traffic{Transactions: s.Transactions, Bytes: s.Bytes}
	st.Totals.Reconnects = s.Reconnects
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

// showFed fills in the secondaries that a node feeds. Those that are gone are told apart from those that are connected.
func showFed(st *admin.Status, p primary.Status) {
	if p.SourceError != "" {
		st.Storage.LastError = &p.SourceError
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
			LastError:       admin.NonZero(s.LastError),
		}
		if s.State == primary.StateDisconnected {
			one.Since = admin.NonZero(s.GoneSince)
			st.Disconnected = append(st.Disconnected, one)
			continue
		}
		st.Secondaries = append(st.Secondaries, one)
	}
	st.Totals.Sent = admin.Traffic{Transactions: p.Totals.Transactions, Bytes: p.Totals.Bytes}
	if st.Totals.Refusals == nil {
		st.Totals.Refusals = map[string]int64{}
	}
	addRefusals(st.Totals.Refusals, p.Totals.Refusals)
}

// fedLag is not known of a secondary that acknowledges nothing once everything has been sent to it.
func fedLag(s *primary.SecondaryStatus, last zodb.Tid) admin.Lag {
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
	if last := src.LastTid(); last != 0 {
		out.LastTid = &last
		out.LastTime = admin.Known(lastTime(last))
		if ahead := last.Time().Sub(now); ahead > time.Second { // clocks are as much apart
			out.Future = ahead.Seconds()
		}
	}
}

func lastTime(tid zodb.Tid) time.Time { return tid.Time().UTC() }
