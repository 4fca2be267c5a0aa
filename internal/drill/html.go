package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"seconds": seconds, "timeline": timelineOf, "time": func(ns int64) string {
		return time.Duration(ns).Round(time.Millisecond).String()
	},
}).Parse(page))

// WriteHTML writes the report as a page that needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error {
	if err := pageTemplate.Execute(w, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// The layout of a timeline, in units of the drawing.
const (
	plotWidth  = 900
	plotHeight = 60 // of the commits
	laneHeight = 16 // of a node
	plotLeft   = 30
)

// A timeline is a scenario as a drawing: commits over time above, and below who was primary.
type timeline struct {
	Width, Height, Plot, Left int
	Bars                      []box // commits
	Lanes                     []lane
	Marks                     []mark
}

type box struct{ X, Y, W, H float64 }

// A lane is a node, and the times in which it was primary.
type lane struct {
	Node           string
	Y              int
	PrimaryPeriods []box
}

// A mark is an event.
type mark struct {
	X          float64
	Kind, Text string
}

func timelineOf(o *Outcome) timeline {
	t := timeline{
		Width: plotLeft + plotWidth, Height: plotHeight + laneHeight*len(o.Nodes), Plot: plotHeight, Left: plotLeft,
	}
	if o.Duration <= 0 {
		return t
	}
	at := func(ns int64) float64 { return plotLeft + plotWidth*time.Duration(ns).Seconds()/o.Duration }
	most := 1
	for _, n := range o.Commits {
		most = max(most, n)
	}
	for i, n := range o.Commits {
		width, height := float64(plotWidth)/float64(len(o.Commits)), plotHeight*float64(n)/float64(most)
		t.Bars = append(t.Bars, box{plotLeft + float64(i)*width, plotHeight - height, width, height})
	}
	for i, name := range o.Nodes {
		l := lane{Node: name, Y: plotHeight + i*laneHeight}
		for _, period := range o.PrimaryPeriods {
			until := float64(plotLeft + plotWidth)
			if period.Until != 0 {
				until = at(period.Until)
			}
			if since := at(period.Since); period.Node == name {
				l.PrimaryPeriods = append(l.PrimaryPeriods, box{since, float64(l.Y + 2), until - since, laneHeight - 4})
			}
		}
		t.Lanes = append(t.Lanes, l)
	}
	for _, e := range o.Events {
		t.Marks = append(t.Marks, mark{at(e.At), e.Kind, e.Text})
	}
	return t
}
