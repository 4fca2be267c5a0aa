package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// A figure is one measured value. Reached is nil where nothing is demanded.
type figure struct {
	Section string  `json:"section"`
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Goal    string  `json:"goal,omitempty"`
	Reached *bool   `json:"reached,omitempty"`
}

// A report collects the figures of a run.
type report struct {
	Date    string   `json:"date"`
	Machine string   `json:"machine"`
	Setting string   `json:"setting"`
	Figures []figure `json:"figures"`

	section string
}

func newReport() *report { return &report{Date: time.Now().UTC().Format(time.DateOnly)} }

// machine notes where and how the run was made.
func (r *report) machine(dir string, scale float64, runs int) error {
	kernel, err := exec.Command("uname", "-sr").Output() //nolint:noctx // answers at once
	if err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	fs, err := exec.Command("stat", "-f", "-c", "%T", dir).Output() //nolint:noctx // answers at once
	if err != nil {
		return fmt.Errorf("stat -f %s: %w", dir, err)
	}
	r.Machine = fmt.Sprintf("%s/%s, %d CPUs, %s, file system %s, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), strings.TrimSpace(string(fs)), runtime.Version())
	r.Setting = fmt.Sprintf("scale %g, median of %d runs", scale, runs)
	return nil
}

func (r *report) begin(section string) { r.section = section }

// add notes a figure of which nothing is demanded, and shows it at once.
func (r *report) add(name string, value float64, unit string) {
	r.note(figure{Name: name, Value: value, Unit: unit})
}

// atLeast and atMost note a figure with its goal.
func (r *report) atLeast(name string, value float64, unit string, goal float64) {
	reached := value >= goal
	r.note(figure{Name: name, Value: value, Unit: unit, Goal: "at least " + short(goal), Reached: &reached})
}

func (r *report) atMost(name string, value float64, unit string, goal float64) {
	reached := value <= goal
	r.note(figure{Name: name, Value: value, Unit: unit, Goal: "at most " + short(goal), Reached: &reached})
}

func (r *report) note(f figure) {
	f.Section = r.section
	r.Figures = append(r.Figures, f)
	fmt.Fprintf(os.Stderr, "   %-52s %10s %-16s %s\n", f.Name, short(f.Value), f.Unit, f.verdict())
}

func (f figure) verdict() string {
	switch {
	case f.Reached == nil:
		return ""
	case *f.Reached:
		return f.Goal + ": reached"
	}
	return f.Goal + ": MISSED"
}

// short writes a value with three significant digits or so.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s, %s\n", r.Machine, r.Date, r.Setting)
	section := ""
	for _, f := range r.Figures {
		if f.Section != section {
			section = f.Section
			fmt.Fprintf(w, "\n%s\n", section)
		}
		fmt.Fprintf(w, "   %-52s %10s %-16s %s\n", f.Name, short(f.Value), f.Unit, f.verdict())
	}
}

// save writes the report as base.json and base.md.
func (r *report) save(base string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".md", []byte(r.markdown()), 0o644)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %s; %s.\n", r.Date, r.Machine, r.Setting)
	section := ""
	for _, f := range r.Figures {
		if f.Section != section {
			section = f.Section
			fmt.Fprintf(&b, "\n### %s\n\n| figure | value | unit | goal |\n|---|---:|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, short(f.Value), f.Unit, f.verdict())
	}
	return b.String()
}
