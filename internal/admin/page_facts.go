package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/warning"
)

// A tile is a number with its name.
type tile struct{ Class, Name, Value, Note string }

// A fact is a line about the node.
type fact struct{ Name, Value, Note string }

// A pageDisk is a disk with the day on which it will be full.
type pageDisk struct {
	Disk
	full fullDay
}

func (v *pageView) disks(h *history) {
	growth := v.Node.Storage.Growth
	for _, d := range v.Node.Storage.Disks { // the first is that of the data file
		v.full = append(v.full, pageDisk{d, h.fullDay(&d, growth, v.Node.Now)})
		growth = nil
	}
}

// tiles are the numbers of the page.
func (v *pageView) tiles() {
	st, r := v.Node, &v.rates
	add := func(name, value, note string) { v.Tiles = append(v.Tiles, tile{"", name, value, note}) }
	if z := st.ZEO; z != nil {
		add("ZEO clients", grouping(fmt.Sprint(z.Clients)),
			fmt.Sprintf("%d vote or wait for the commit lock", z.Voting))
		add("Commits a second", numberText(r.Commits), total(z.Commits))
		add("Loads a second", numberText(r.Loads), total(z.Loads))
		add("Conflicts a second", numberText(r.Conflicts), total(z.Conflicts)+", "+
			grouping(fmt.Sprint(z.Resolved))+" resolved here")
		add("Commit time, p50", spanText(r.CommitP50), "p99: "+spanText(r.CommitP99))
	}
	add("Time of fsync, p99", spanText(r.SyncP99), since(st.Storage.Sync))
	objects := ""
	if n := st.Storage.Objects; n != nil {
		objects = "objects: " + grouping(fmt.Sprint(*n))
	}
	add("Size of the data file", bytesText(&st.Storage.Size), objects)
	v.packTile()
	v.verifyTile()
	v.archiveTile()
	for i := range v.full {
		t := v.full[i].tile(st.Now, len(v.full) > 1)
		for _, w := range st.Warnings {
			if w.About == v.full[i].Folder && (w.Code == warning.DiskFull || w.Code == warning.DiskLow) {
				t.Class = classOf(w.Severity)
			}
		}
		v.Tiles = append(v.Tiles, t)
	}
}

func total(n int64) string { return grouping(fmt.Sprint(n)) + " in all" }

// since says what the percentile was since the start.
func since(d *Durations) string {
	if d == nil || d.P99 == nil {
		return ""
	}
	return "since the start: " + spanText(d.P99)
}

func (v *pageView) packTile() {
	t := tile{Name: "Last pack", Value: "none", Note: "since " + timeText(&v.Node.Started)}
	if p := v.Node.Storage.LastPack; p != nil {
		t.Value = ago(v.Node.Now.Sub(p.Ended).Seconds()) + " ago"
		t.Note = fmt.Sprintf("in %s, from %s to %s", spanText(&p.Duration), bytesText(&p.Before), bytesText(&p.After))
		if !p.Packed {
			t.Note = "there was nothing to drop"
		}
	}
	if p := v.Node.Packs; p != nil {
		t.Note += "; next " + timeText(p.Next)
	}
	v.Tiles = append(v.Tiles, t)
}

func (v *pageView) verifyTile() {
	t := tile{Name: "Last verification", Value: "none", Note: "no verification is planned"}
	if s := v.Node.Verify; s != nil {
		t.Note = ""
		if s.Next != nil {
			t.Note = "next " + timeText(s.Next)
		}
		if s.Running != nil && s.Running.Total > 0 {
			t.Note = fmt.Sprintf("one is under way: %d %%", s.Running.Done*100/s.Running.Total)
		}
		if last := s.Last; last != nil {
			t.Value = ago(v.Node.Now.Sub(last.Ended).Seconds()) + " ago"
			found := "no damage"
			if last.Damages > 0 {
				found, t.Class = fmt.Sprintf("%d damaged", last.Damages), bad
			}
			t.Note = strings.TrimSuffix(found+"; "+t.Note, "; ")
		}
	}
	v.Tiles = append(v.Tiles, t)
}

func (d *pageDisk) tile(now time.Time, named bool) tile {
	t := tile{Name: "Disk free", Value: bytesText(&d.Free), Note: d.fullText(now)}
	if named {
		t.Name += ": " + d.Folder
	}
	if d.Error != nil {
		return tile{warn, t.Name, "not known", *d.Error}
	}
	if part := float64(d.Free) / float64(max(d.Size, 1)); d.Size > 0 {
		t.Value += fmt.Sprintf(" (%.0f %%)", part*100)
	}
	return t
}

func (d *pageDisk) fullText(now time.Time) string {
	switch {
	case !d.full.known:
		return fmt.Sprintf("full on: not known before %.0f hours have been watched", minDiskTime.Hours())
	case d.full.at.IsZero():
		return "it does not fill up"
	case d.full.at.Sub(now) < 24*time.Hour:
		return "full today, " + d.full.at.UTC().Format("15:04 UTC") + ", at this rate"
	}
	return "full on " + d.full.at.UTC().Format("2006-01-02") + " at this rate"
}

// facts are what else there is to know of the node.
func (v *pageView) facts() {
	st := v.Node
	add := func(name, value, note string) { v.Facts = append(v.Facts, fact{name, value, note}) }
	add("ready", readyText(st), "")
	if st.Epoch != nil {
		add("epoch", epochText(st), "")
	}
	add("data", st.Storage.Path+storageNotes(&st.Storage), "")
	add("last transaction", tidText(st.Storage.LastTid), timeText(st.Storage.LastTime))
	if st.ApplyDelay != nil {
		add("shown to clients", delayText(st.ApplyDelay), "")
	}
	if u := st.Upstream; u != nil {
		add("follows", text(u.Name), text(u.Address))
		add("state", u.State, "since "+timeText(u.Since))
		add("protocol", text(u.Protocol), "")
		if u.Seed != nil {
			add("seed", seedText(u.Seed), "")
		}
		if u.LastError != nil {
			add("last error", *u.LastError, errorNote(u.LastErrorAt))
		}
	}
	if st.Coordinator != nil {
		add("coordinator", coordinatorText(st.Coordinator), st.Coordinator.Address)
		if e := st.Coordinator.LastError; e != nil {
			add("its last error", *e, errorNote(st.Coordinator.LastErrorAt))
		}
	}
	if st.Archive != nil {
		add("archive", st.Archive.Text(st.Now), "")
	}
	if st.Sync != nil {
		add("commits wait for", syncText(st.Sync), "")
	}
	if e := st.Storage.LastError; e != nil {
		add("read error", *e, errorNote(st.Storage.LastErrorAt))
	}
	for _, a := range st.SetAside {
		add("set aside", fmt.Sprintf("%v to %v, in %s", a.First, a.Until, a.File), a.At+": "+a.Why)
	}
	for _, r := range st.Reseeds {
		add("seeded anew", r.Found, fmt.Sprintf("at %s (%s); what there was is set aside as %s.%s", r.At, r.Why,
			st.Storage.Path, r.Name))
	}
	add("up since", timeText(&st.Started), "")
}

func errorNote(at *time.Time) string {
	if at == nil {
		return ""
	}
	return "at " + timeText(at)
}

// A pageClients is the table of ZEO clients.
type pageClients struct {
	Shown bool
	List  []pageClient
	More  int
}

// A pageClient is a line of it.
type pageClient struct{ Address, Label, Mode, Doing, Since, Loads, Stores, Commits, Outbox string }

// maxPageClients is how many are shown; zrsd clients shows all.
const maxPageClients = 50

func (v *pageView) clients(control Control, storage string) {
	list, err := control.Clients(storage)
	if err != nil {
		return // none are served
	}
	c := &v.Clients
	c.Shown = true
	if len(list) > maxPageClients {
		c.More = len(list) - maxPageClients
		list = list[:maxPageClients]
	}
	number := func(n int64) string { return grouping(fmt.Sprint(n)) }
	for i := range list {
		one := &list[i]
		line := pageClient{Address: text(one.Address), Label: text(one.Label), Mode: "writes", Doing: doingText(one),
			Since: timeText(&one.Since), Loads: number(one.Loads), Stores: number(one.Stores),
			Commits: number(one.Commits), Outbox: bytesText(&one.Outbox)}
		if one.Address == nil {
			line.Address = "Unix socket"
		}
		if one.ReadOnly {
			line.Mode = "reads"
		}
		c.List = append(c.List, line)
	}
}
