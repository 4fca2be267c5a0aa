package admin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The layout of a chart, in units of the drawing. A point is the highest value of half a minute.
const (
	chartWidth, chartHeight     = 440, 150
	chartLeft, chartRight       = 62, 8
	chartTop, chartBottom       = 10, 24
	chartPoints                 = 120
	chartPlotWidth, chartPlotHt = chartWidth - chartLeft - chartRight, chartHeight - chartTop - chartBottom
)

// A chart is a drawing of the last hour.
type chart struct {
	ID, Title, About string
	Width, Height    int
	Left, Right      int
	Lines            []chartLine
	Rows, Columns    []gridLine
}

// A chartLine is one series: its class has the colour, and the dashes that tell it from others without colours.
type chartLine struct {
	Name, Now string
	Class     int
	Paths     []string // its pieces: where nothing is known there is a gap
}

// A gridLine is a line of the grid with its text.
type gridLine struct {
	At    float64
	Label string
	Zero  bool
}

// A unit is that of the values of a chart: how they are written, and where the axis ends.
type unit struct {
	text func(*float64) string
	top  func(highest float64) float64
}

var (
	inNumbers = unit{numberText, roundUp}
	inSeconds = unit{spanText, roundUp}
	inBytes   = unit{sizeText, roundUpBytes}
)

// A series is a line to be drawn, from samples.
type series struct {
	name  string
	value func(*sample) *float64
}

// chartOf draws series of the samples of the hour before now.
func chartOf(id, title string, samples []sample, now time.Time, unit unit, list []series) chart {
	c := chart{ID: id, Title: title, Width: chartWidth, Height: chartHeight, Left: chartLeft,
		Right: chartWidth - chartRight}
	highest := 0.0
	points := make([][]*float64, len(list))
	for i, s := range list {
		points[i] = pointsOf(samples, now, s.value)
		for _, p := range points[i] {
			if p != nil {
				highest = max(highest, *p)
			}
		}
	}
	top := unit.top(highest)
	for i, s := range list {
		line := chartLine{Name: s.name, Class: i % maxLags, Paths: paths(points[i], top), Now: unknown}
		if len(samples) > 0 {
			line.Now = unit.text(s.value(&samples[len(samples)-1]))
		}
		c.Lines = append(c.Lines, line)
	}
	for i := range 3 {
		part := float64(i) / 2
		value := top * part
		c.Rows = append(c.Rows, gridLine{chartTop + chartPlotHt*(1-part), unit.text(&value), i == 0})
	}
	for i := range 5 {
		label := fmt.Sprintf("−%d min", 60-15*i)
		if i == 4 {
			label = "now"
		}
		c.Columns = append(c.Columns, gridLine{At: chartLeft + chartPlotWidth*float64(i)/4, Label: label})
	}
	c.About = about(&c, unit.text(&highest))
	return c
}

// about says in words what a chart shows.
func about(c *chart, highest string) string {
	var parts []string
	for _, l := range c.Lines {
		parts = append(parts, fmt.Sprintf("%s now %s", l.Name, l.Now))
	}
	if len(parts) == 0 {
		return c.Title + ", last hour: nothing to show"
	}
	return fmt.Sprintf("%s, last hour: highest %s; %s", c.Title, highest, strings.Join(parts, ", "))
}

// pointsOf returns the highest value of each half minute, nil where none is known.
func pointsOf(samples []sample, now time.Time, value func(*sample) *float64) []*float64 {
	points := make([]*float64, chartPoints+1)
	for i := range samples {
		age := now.Sub(samples[i].at)
		at := chartPoints - int(math.Round(age.Hours()*chartPoints))
		if v := value(&samples[i]); v != nil && at >= 0 && at <= chartPoints {
			points[at] = larger(points[at], v)
		}
	}
	return points
}

// paths draws points as pieces. A point that is alone is a short line.
func paths(points []*float64, top float64) (list []string) {
	var b strings.Builder
	n := 0
	end := func() {
		if n == 1 {
			b.WriteString(" h1")
		}
		if n > 0 {
			list = append(list, b.String())
		}
		b.Reset()
		n = 0
	}
	for i, p := range points {
		if p == nil {
			end()
			continue
		}
		letter := " L"
		if n == 0 {
			letter = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", letter, chartLeft+float64(chartPlotWidth)*float64(i)/chartPoints,
			chartTop+chartPlotHt*(1-*p/top))
		n++
	}
	end()
	return list
}

// roundUp returns a number that is easy to read and not below v: 1, 2 or 5 times a power of ten.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if v <= f*unit {
			return f * unit
		}
	}
	return 10 * unit
}

// roundUpBytes is roundUp in the unit in which a size is written.
func roundUpBytes(v float64) float64 {
	scale := 1.0
	for v >= 1024*scale {
		scale *= 1024
	}
	if top := roundUp(v / scale); top < 1000 {
		return scale * top
	}
	return scale * 1024
}

// chartsOf are those of a storage.
func chartsOf(samples []sample, now time.Time) []chart {
	var names []string
	for i := range samples {
		for _, l := range samples[i].lags {
			if !slices.Contains(names, l.name) && len(names) < maxLags {
				names = append(names, l.name)
			}
		}
	}
	slices.Sort(names)
	lags := func(part func(*Lag) *float64) (list []series) {
		for _, name := range names {
			list = append(list, series{name, func(s *sample) *float64 {
				for i := range s.lags {
					if s.lags[i].name == name {
						return part(&s.lags[i].Lag)
					}
				}
				return nil
			}})
		}
		return list
	}
	var list []chart
	if len(names) > 0 {
		list = append(list,
			chartOf("lag-seconds", "Lag in seconds", samples, now, inSeconds, lags(func(l *Lag) *float64 {
				return l.Seconds
			})),
			chartOf("lag-transactions", "Lag in transactions", samples, now, inNumbers, lags(func(l *Lag) *float64 {
				return asFloat(l.Transactions)
			})),
			chartOf("lag-bytes", "Lag in bytes", samples, now, inBytes, lags(func(l *Lag) *float64 {
				return asFloat(l.Bytes)
			})))
	}
	rate := func(name string, value func(*rates) *float64) series {
		return series{name, func(s *sample) *float64 { return value(&s.rate) }}
	}
	return append(list,
		chartOf("commits", "Commits a second", samples, now, inNumbers, []series{
			rate("commits", func(r *rates) *float64 { return r.Commits }),
			rate("conflicts", func(r *rates) *float64 { return r.Conflicts }),
		}),
		chartOf("loads", "Loads a second", samples, now, inNumbers, []series{
			rate("loads", func(r *rates) *float64 { return r.Loads }),
		}),
		chartOf("times", "Time of commits and syncs", samples, now, inSeconds, []series{
			rate("commit p99", func(r *rates) *float64 { return r.CommitP99 }),
			rate("commit p50", func(r *rates) *float64 { return r.CommitP50 }),
			rate("fsync p99", func(r *rates) *float64 { return r.SyncP99 }),
		}))
}

func asFloat(n *int64) *float64 {
	if n == nil {
		return nil
	}
	return Known(float64(*n))
}
