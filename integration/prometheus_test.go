package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
)

// needsProgram returns the path of a program of the system. Where it is missing a user's run skips the test, and CI
// fails.
func needsProgram(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	missing := fmt.Sprintf("there is no %s: apt-get install %s", name, name)
	if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// A prometheus is a real one that scrapes nodes and evaluates the alert rules.
type prometheus struct{ address string }

// scrape runs a real Prometheus that scrapes these admin addresses each second.
func scrape(t *testing.T, admins ...string) *prometheus {
	t.Helper()
	program := needsProgram(t, "prometheus")
	dir := t.TempDir()
	rules, err := filepath.Abs("../packaging/prometheus/zrsd.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	targets, err := json.Marshal(admins)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n"+
		"- job_name: zrsd\n  static_configs:\n  - targets: %s\n", rules, targets)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{address: freeAddress(t)}
	var said strings.Builder
	cmd := exec.Command(program, "--config.file", conf, "--storage.tsdb.path", filepath.Join(dir, "tsdb"),
		"--web.listen-address", p.address)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", &said)
		}
	})
	return p
}

// A sample is one element of an answer.
type sample struct {
	Metric map[string]string `json:"metric"`
}

// ask puts a question to the API of Prometheus, and returns whether it was answered.
func (p *prometheus) ask(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// query returns the samples that a query gives.
func (p *prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	var data struct{ Result []sample }
	err := p.ask(ctx, "query?query="+url.QueryEscape(expr), &data)
	return data.Result, err
}

// await asks until a query gives so many samples, at least.
func (p *prometheus) await(t *testing.T, expr string, atLeast int) []sample {
	t.Helper()
	for ctx := within(t); ; {
		found, err := p.query(ctx, expr)
		if err == nil && len(found) >= atLeast {
			return found
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s gives %d samples, want %d: %v", expr, len(found), atLeast, err)
		case <-time.After(200 * time.Millisecond): // it scrapes once a second
		}
	}
}

// dashboardQueries returns the queries of the panels of the dashboard, by title.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../packaging/grafana/zrsd.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries[p.Title] = target.Expr
		}
	}
	if len(queries) < 20 {
		t.Fatalf("the dashboard has %d queries", len(queries))
	}
	return queries
}

// quietPanels have no samples here: no coordinator is used, and nothing is wrong.
var quietPanels = map[string]bool{"Lease left": true, "Warnings": true}

// A real Prometheus takes what real nodes say, knows every query of the dashboard and every alert rule, and its alerts
// fire for the node that is killed and for that nobody leads.
func TestARealPrometheusFillsTheDashboardAndAlerts(t *testing.T) {
	t.Parallel()
	needsProgram(t, "prometheus")
	replication, admins := freeAddress(t), []string{freeAddress(t), freeAddress(t)}
	source, target := newSite(t, true), newSite(t, true)
	source.open(t).Close()
	zeo := freeAddress(t)
	var nodes []*daemon.Process
	for i, args := range [][]string{
		append([]string{"primary", "--replicate-to", replication, "--sync-secondaries", "1", "--zeo", zeo},
			source.flags()...),
		append([]string{"secondary", "--replicate-from", replication, "--zeo", freeAddress(t)}, target.flags()...),
	} {
		p, err := daemon.Start(zrsd, admins[i], nil, append(args, "--verify-interval=1m")...)
		if err != nil {
			t.Fatal(err)
		}
		untilTheEnd(t, args[0], p)
		nodes = append(nodes, p)
	}
	primary := nodes[0]
	clients, err := zeoclients.Start(interpreter(t, "zodb"), 50*time.Millisecond, zeo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clients.Close() }) // it may be without a server
	mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
	if _, err := primary.Await(within(t), "it is verified", func(st *admin.Status) bool {
		return st.Verify != nil && st.Verify.Last != nil
	}); err != nil {
		t.Fatal(err)
	}

	p := scrape(t, admins...)
	p.await(t, `up{job="zrsd"} == 1`, 2)
	p.await(t, `rate(zrsd_zeo_commits_total[1m]) > 0`, 1)
	for title, expr := range dashboardQueries(t) {
		if quietPanels[title] {
			if _, err := p.query(within(t), expr); err != nil {
				t.Error(err)
			}
			continue
		}
		p.await(t, expr, 1)
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.ask(within(t), "rules", &rules); err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			known++
			if r.Health == "err" {
				t.Errorf("%s: %s", r.Name, r.LastError)
			}
		}
	}
	if known < 30 {
		t.Errorf("Prometheus knows %d rules", known)
	}

	kill(t, primary)
	p.await(t, fmt.Sprintf(`ALERTS{alertname="ZrsdDown", instance=%q}`, admins[0]), 1)
	p.await(t, `ALERTS{alertname="ZrsdNoPrimary"}`, 1)
}
