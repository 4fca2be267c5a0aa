package admin

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/zrsd/zrsd/internal/plural"
)

// A ClientRate is a ZEO connection with what it does per second.
type ClientRate struct {
	Client
	LoadRate   float64 `json:"loads_per_second"`
	StoreRate  float64 `json:"stores_per_second"`
	CommitRate float64 `json:"commits_per_second"`
}

// ClientRates computes rates from one list of clients to the next. The zero value is for the first one.
type ClientRates struct {
	at     time.Time
	before map[connection]*Client
}

// A connection is what holds one connection apart from others.
type connection struct {
	address, label, storage string
	since                   int64
}

func connectionOf(c *Client) connection {
	return connection{text(c.Address), text(c.Label), text(c.Storage), c.Since.UnixNano()}
}

// Next returns the clients with their rates since the list before, or since they connected, the busiest first: by
// commits, then by stores and loads.
func (r *ClientRates) Next(list []Client, now time.Time) []ClientRate {
	rates := make([]ClientRate, len(list))
	seen := make(map[connection]*Client, len(list))
	for i := range list {
		c := &list[i]
		before, known := r.before[connectionOf(c)]
		since := r.at
		if !known {
			before, since = &Client{}, c.Since
		}
		seen[connectionOf(c)] = c
		d := max(now.Sub(since).Seconds(), 0.001)
		rates[i] = ClientRate{
			Client: *c, LoadRate: float64(c.Loads-before.Loads) / d, StoreRate: float64(c.Stores-before.Stores) / d,
			CommitRate: float64(c.Commits-before.Commits) / d,
		}
	}
	r.at, r.before = now, seen
	slices.SortStableFunc(rates, func(a, b ClientRate) int {
		return cmp.Or(cmp.Compare(b.CommitRate, a.CommitRate), cmp.Compare(b.StoreRate, a.StoreRate),
			cmp.Compare(b.LoadRate, a.LoadRate))
	})
	return rates
}

// WriteTop writes what clients do now for people.
func WriteTop(w io.Writer, list []ClientRate) error {
	var sum ClientRate
	doing := make(map[string]int)
	for i := range list {
		sum.LoadRate += list[i].LoadRate
		sum.StoreRate += list[i].StoreRate
		sum.CommitRate += list[i].CommitRate
		doing[list[i].Doing]++
	}
	if _, err := fmt.Fprintf(w, "%s: %d with the commit lock, %d waiting for it; per second %.1f loads, %.1f "+
		"stores, %.1f commits\n", plural.Of(len(list), "client"), doing["voting"]+doing["holding"],
		doing["waiting"], sum.LoadRate,
		sum.StoreRate, sum.CommitRate); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "ADDRESS\tLABEL\tSTORAGE\tMODE\tDOING\tOUTBOX\tLOADS/S\tSTORES/S\tCOMMITS/S")
	for i := range list {
		c := &list[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%.1f\t%.1f\n", clean(text(c.Address)), clean(text(c.Label)),
			clean(text(c.Storage)), modeOf(&c.Client), doingText(&c.Client), bytesText(&c.Outbox), c.LoadRate,
			c.StoreRate, c.CommitRate)
	}
	return tw.Flush() // returns what went wrong above
}
