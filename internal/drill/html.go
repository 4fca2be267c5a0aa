package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"sync"
	"time"
)

//go:embed report.html
var page string

// pageTemplate is parsed by the first report: most commands make none.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Funcs(template.FuncMap{
		"seconds": seconds, "timeline": timelineOf, "time": func(ns int64) string {
			return time.Duration(ns).Round(time.Millisecond).String()
		},
	}).Parse(page))
})

// WriteHTML writes the report as a page that needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error {
	if err := pageTemplate().Execute(w, r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// The layout of a timeline, in units of the drawing.
const (
	plotWidth  = 900
	plotHeight = 60 // of the commits
	laneHeight = 16 // of a node
	plotLeft   = 110
	plotRight  = 20 // for half of the last number
	axisHeight = 18 // of the seconds, below
	marksTop   = 14 // of the numbers of faults, above
)

// A timeline is a scenario as a drawing: commits over time above, and below who was primary.
type timeline struct {
	Width, Height, Plot, Left int
	Bars                      []box // commits
	Lanes                     []lane
	Marks                     []mark
	Seconds                   []tick
	Faults                    []mark // those with a number
}

// A tick is a time on the axis.
type tick struct {
	X    float64
	Text string
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
	Number     int // of a fault, from 1
	At         float64
}

// Drawn is the height of all that is drawn, with the numbers of faults above and the seconds below.
func (t timeline) Drawn() int { return marksTop + t.Height + axisHeight }

// PlotWidth is how wide the time is.
func (timeline) PlotWidth() int { return plotWidth }

func timelineOf(o *Outcome) timeline {
	t := timeline{
		Width: plotLeft + plotWidth + plotRight, Height: plotHeight + laneHeight*len(o.Nodes), Plot: plotHeight,
		Left: plotLeft,
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
		m := mark{X: at(e.At), Kind: e.Kind, Text: e.Text, At: time.Duration(e.At).Seconds()}
		if e.Kind == "fault" {
			m.Number = len(t.Faults) + 1
			t.Faults = append(t.Faults, m)
		}
		t.Marks = append(t.Marks, m)
	}
	step := tickStep(o.Duration)
	for s := 0.0; s <= o.Duration; s += step {
		t.Seconds = append(t.Seconds, tick{plotLeft + plotWidth*s/o.Duration, fmt.Sprintf("%g s", s)})
	}
	return t
}

// tickStep returns how many seconds are between two ticks, so that there are at most twelve.
func tickStep(duration float64) float64 {
	for _, step := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if duration/step <= 12 {
			return step
		}
	}
	return duration / 10
}
