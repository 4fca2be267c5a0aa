package drill

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/zodb"
)

// A report in which everything is there that a report can have.
func sample() *Report {
	return &Report{
		Version: "1", Seed: 7, Sync: 1, Folder: "/tmp/x", Kept: true, Scenarios: []Outcome{
			{
				Name: "good", About: "what happens", Simulated: "by hand", Held: true,
				Nodes: []string{"a", "b"}, Failovers: 1, Duration: 10,
				Verdict: &consistency.Verdict{Acknowledged: 5, Lost: []zodb.Tid{1}}, WritePause: 1.5,
				Aside: []Aside{{"/tmp/x/aside-1/Data.fs", 3}}, Commits: []int{0, 4, 1},
				Events:         []Event{{1e9, faultEvent, "a is <killed>"}},
				PrimaryPeriods: []consistency.PrimaryPeriod{{Node: "a", Until: 1e9}, {Node: "b", Since: 2e9}},
			},
			{Name: "wrong", Verdict: &consistency.Verdict{Violations: slices.Repeat([]consistency.Violation{
				{Rule: consistency.Acknowledged, Client: "w1", Text: "it is gone"},
			}, 2*maxShown)}},
			{Name: "stuck", Error: "step 3 did not come true"},
		},
	}
}

func TestEveryFormSaysWhatWasFound(t *testing.T) {
	all := []string{"good", "wrong", "it is gone", "step 3 did not come true",
		"by hand", "/tmp/x/aside-1/Data.fs"}
	for name, form := range map[string]struct {
		write func(*Report, *bytes.Buffer) error
		more  []string
	}{
		"text": {func(r *Report, b *bytes.Buffer) error { return r.WriteText(b) },
			[]string{"THE GUARANTEE DID NOT HOLD", "--seed 7", "kept in /tmp/x", "… and 10 more", "1.5s"}},
		"JSON": {func(r *Report, b *bytes.Buffer) error { return r.WriteJSON(b) },
			[]string{`"seed": 7`, `"held": false`, `"write_pause_seconds": 1.5`}},
		"HTML": {func(r *Report, b *bytes.Buffer) error { return r.WriteHTML(b) },
			[]string{"<svg", "<ol class=\"faults\">", "acknowledged commits<li>", ">0 s</text>",
				"a is &lt;killed&gt;", `class="fault"`, `class="primary"`, "THE GUARANTEE DID NOT HOLD"}},
	} {
		var out bytes.Buffer
		if err := form.write(sample(), &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range append(form.more, all...) {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: does not say %q:\n%s", name, want, out.String())
			}
		}
	}
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"<script", "src=", "http:", "https:", "@import"} {
		if strings.Contains(out.String(), outside) {
			t.Errorf("the page has %q", outside)
		}
	}
}

func TestAReportInJSONIsReadBack(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Scenarios[0].Verdict.Acknowledged != 5 {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestPausesAreTheLongestTimesWithoutAnAnswer(t *testing.T) {
	o := &Outcome{Duration: 12}
	second := func(n int64) int64 { return n * 1e9 }
	o.figures([]consistency.Op{
		{Kind: consistency.Commit, End: second(1)}, {Kind: consistency.Read, End: second(2)},
		{Kind: consistency.Refused, End: second(3)}, {Kind: consistency.Commit, End: second(8)},
		{Kind: consistency.Unknown, End: second(9)}, {Kind: consistency.Snapshot, End: second(6)},
	})
	if o.WritePause != 7 || o.ReadPause != 4 {
		t.Errorf("pauses of %v and %v", o.WritePause, o.ReadPause)
	}
	if n := len(o.Commits); n != parts || o.Commits[10] != 1 || o.Commits[80] != 1 {
		t.Errorf("commits over time: %v", o.Commits)
	}
}

func TestScenariosHaveNamesThatDifferAndSayWhatTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range append(Scenarios(), Mixed()) {
		if s.Name == "" || s.Name == "all" || seen[s.Name] || s.about == "" {
			t.Errorf("%q: twice, or without a word", s.Name)
		}
		seen[s.Name] = true
	}
}

func TestASeedMakesTheSameChoices(t *testing.T) {
	first := Mixed().choose(rand.New(rand.NewPCG(7, 7)))
	again := Mixed().choose(rand.New(rand.NewPCG(7, 7)))
	if len(first) == 0 || len(first) != len(again) {
		t.Errorf("%d and %d steps", len(first), len(again))
	}
}
