package admin

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/zrsd/zrsd/internal/plural"
)

// A Recon is what several nodes say of themselves, put together.
type Recon struct {
	Nodes        []ReconNode       `json:"nodes"` // in the order in which they were named
	Replication  ReconReplication  `json:"replication"`
	Verification ReconVerification `json:"verification"`
	NoAnswer     map[string]string `json:"no_answer"` // why, by the address
}

// A ReconNode is what counts of one node.
type ReconNode struct {
	Address   string     `json:"address"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Ready     bool       `json:"ready"`
	Lag       *float64   `json:"lag_seconds"`       // behind its primary; nil: it follows none, or it is not known
	LastTime  *time.Time `json:"last_time"`         // in its last transaction
	Verified  *time.Time `json:"verified"`          // when the last verification came to its end; nil: never
	Damages   int64      `json:"damages"`           // that the last one found, also one that did not come to its end
	Failures  int64      `json:"failures"`          // copies with damage or a difference, or without an answer
	Healed    int64      `json:"healed"`            // damaged parts, since the process began
	Kept      int64      `json:"quarantined"`       // likewise: those that are kept in quarantine/
	Pending   int64      `json:"pending"`           // damaged parts that are known and not healed
	Failed    *string    `json:"failed"`            // why a later one did not come to its end
	Running   bool       `json:"verifying"`         // one is under way
	Next      *time.Time `json:"next_verification"` // nil: none is planned
	Reconnect int64      `json:"reconnects"`        // to its primary, since the process began
}

// A ReconAge is the oldest or newest of something, with the node that has it.
type ReconAge struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // ago
}

// ReconReplication is how far secondaries are behind.
type ReconReplication struct {
	Reported int      `json:"reported"` // secondaries that know their lag
	NoResult int      `json:"no_result"`
	Low      *float64 `json:"low_seconds"`
	High     *float64 `json:"high_seconds"`
	Average  *float64 `json:"average_seconds"`
	Worst    *string  `json:"worst"` // the name of the one with High

	CatchUps CatchUps `json:"catch_ups"` // of the secondaries of all nodes

	Oldest *ReconAge `json:"oldest"` // the last transaction of the node with the oldest one
	Newest *ReconAge `json:"newest"`
}

// ReconVerification is what verifications have found.
type ReconVerification struct {
	Reported int       `json:"reported"` // nodes with a completed one
	Never    []string  `json:"never"`    // the names of those without
	Damages  int64     `json:"damages"`
	Failures int64     `json:"failures"`
	Damaged  []string  `json:"damaged"` // the names of nodes that have found damage
	Oldest   *ReconAge `json:"oldest"`  // completed pass
	Newest   *ReconAge `json:"newest"`
}

// NewRecon begins an empty one.
func NewRecon() *Recon {
	return &Recon{Nodes: []ReconNode{}, NoAnswer: map[string]string{},
		Verification: ReconVerification{Never: []string{}, Damaged: []string{}}}
}

// Add takes what a node says of one storage.
func (r *Recon) Add(address string, st *Status) {
	n := ReconNode{Address: address, Name: st.Name, Role: st.Role, Ready: st.Ready, LastTime: st.Storage.LastTime,
		Reconnect: st.Totals.Reconnects}
	if st.Upstream != nil {
		n.Lag = st.Upstream.Lag.Seconds
	}
	if v := st.Verify; v != nil {
		n.Next, n.Running = v.Next, v.Running != nil
		if v.Last != nil {
			n.Verified, n.Damages, n.Failures = &v.Last.Ended, v.Last.Damages, v.Last.Failure
		}
		if v.Failed != nil {
			n.Failed, n.Damages, n.Failures = v.Failed.Error, v.Failed.Damages, v.Failed.Failure
		}
	}
	if h := st.Heal; h != nil {
		n.Healed, n.Kept, n.Pending = h.Healed, h.Quarantined, h.Pending
	}
	r.Nodes = append(r.Nodes, n)
	r.replication(&n, st)
	r.verification(&n, st.Now)
}

func (r *Recon) replication(n *ReconNode, st *Status) {
	r.Replication.CatchUps.add(&st.Totals.CatchUps)
	p := &r.Replication
	if n.LastTime != nil {
		note(&p.Oldest, &p.Newest, n.Name, *n.LastTime, st.Now)
	}
	switch {
	case st.Upstream == nil:
		return
	case n.Lag == nil:
		p.NoResult++
		return
	}
	sum := *n.Lag
	if p.Average != nil {
		sum += *p.Average * float64(p.Reported)
	}
	p.Reported++
	p.Average = Known(sum / float64(p.Reported))
	if p.Low == nil || *n.Lag < *p.Low {
		p.Low = n.Lag
	}
	if p.High == nil || *n.Lag > *p.High {
		p.High, p.Worst = n.Lag, Known(n.Name)
	}
}

func (r *Recon) verification(n *ReconNode, now time.Time) {
	v := &r.Verification
	v.Damages += n.Damages
	v.Failures += n.Failures
	if n.Damages > 0 {
		v.Damaged = append(v.Damaged, n.Name)
	}
	if n.Verified == nil {
		v.Never = append(v.Never, n.Name)
		return
	}
	v.Reported++
	note(&v.Oldest, &v.Newest, n.Name, *n.Verified, now)
}

// note keeps the oldest and the newest of several times.
func note(oldest, newest **ReconAge, name string, at, now time.Time) {
	age := &ReconAge{Name: name, At: at, Seconds: now.Sub(at).Seconds()}
	if *oldest == nil || at.Before((*oldest).At) {
		*oldest = age
	}
	if *newest == nil || at.After((*newest).At) {
		*newest = age
	}
}

// WriteRecon writes it for people: a line for each node, and what is the worst of them.
func WriteRecon(w io.Writer, r *Recon) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tROLE\tREADY\tLAG\tVERIFIED\tDAMAGES\tFAILURES\tQUARANTINED\tHEALED\tNEXT\tNOTES")
	for i := range r.Nodes {
		n := &r.Nodes[i]
		ready, lag, notes := "yes", unknown, ""
		if !n.Ready {
			ready = "NO"
		}
		if n.Lag != nil {
			lag = fmt.Sprintf("%.1f s", *n.Lag)
		}
		if n.Running {
			notes = "is verifying"
		}
		if n.Pending > 0 {
			notes = strings.TrimSpace(fmt.Sprintf("%s %d damaged parts are not healed", notes, n.Pending))
		}
		if n.Failed != nil {
			notes = strings.TrimSpace(notes + " not finished: " + clean(*n.Failed))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", clean(n.Name), n.Role, ready, lag,
			timeText(n.Verified), n.Damages, n.Failures, n.Kept, n.Healed, timeText(n.Next), notes)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// text is what is the worst of all nodes.
func (r *Recon) text() string {
	var b strings.Builder
	p, v := &r.Replication, &r.Verification
	fmt.Fprintf(&b, "\nreplication: %d reported", p.Reported)
	if p.High != nil {
		fmt.Fprintf(&b, ", low %.1f s, high %.1f s (%s), average %.1f s", *p.Low, *p.High, clean(*p.Worst), *p.Average)
	}
	if p.NoResult > 0 {
		fmt.Fprintf(&b, ", %d do not know their lag", p.NoResult)
	}
	fmt.Fprintf(&b, "\n  last transaction: oldest %s, newest %s\n", p.Oldest.text(), p.Newest.text())
	c := &p.CatchUps
	fmt.Fprintf(&b, "  catch-ups: %d attempted, %d no_change, %d diff, %d seed, %d diff_capped\n", c.Attempted,
		c.NoChange, c.Diff, c.Seed, c.DiffCapped)
	fmt.Fprintf(&b, "verification: %d reported, %s, %s", v.Reported, plural.Of(v.Damages, "damage"),
		plural.Of(v.Failures, "failure"))
	if len(v.Damaged) > 0 {
		fmt.Fprintf(&b, "; DAMAGE on %s", clean(strings.Join(v.Damaged, ", ")))
	}
	if len(v.Never) > 0 {
		fmt.Fprintf(&b, "; never: %s", clean(strings.Join(v.Never, ", ")))
	}
	fmt.Fprintf(&b, "\n  completed pass: oldest %s, newest %s\n", v.Oldest.text(), v.Newest.text())
	for _, address := range sortedKeys(r.NoAnswer) {
		fmt.Fprintf(&b, "NO ANSWER from %s: %s\n", clean(address), clean(r.NoAnswer[address]))
	}
	return b.String()
}

func sortedKeys(m map[string]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

func (a *ReconAge) text() string {
	if a == nil {
		return unknown
	}
	ago := time.Duration(a.Seconds * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%s (%v ago) by %s", timeText(&a.At), ago, clean(a.Name))
}
