package admin_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/verify"
)

// recon puts three nodes together: a primary that was never verified, and two secondaries.
func recon(t *testing.T) *admin.Recon {
	t.Helper()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	node := func(name string, lag float64, verified time.Duration, damages int64) *admin.Status {
		st := &admin.Status{Name: name, Role: "primary", Ready: true, Now: now}
		st.Storage.LastTime = admin.Known(now.Add(-time.Duration(lag) * time.Second))
		if lag > 0 {
			st.Role, st.Upstream = "secondary", &admin.Upstream{Lag: admin.Lag{Seconds: &lag}}
		}
		if verified > 0 {
			st.Verify = &verify.Status{Next: admin.Known(now.Add(time.Hour)),
				Last: &verify.Pass{Ended: now.Add(-verified), Damages: damages, Failure: damages}}
		}
		return st
	}
	r := admin.NewRecon()
	r.Add("a:1", node("db1", 0, 0, 0))
	r.Add("b:1", node("db2", 2, 50*time.Hour, 0))
	r.Add("c:1", node("db3", 4, 5*time.Hour, 3))
	r.NoAnswer["d:1"] = "connection refused"
	return r
}

func TestReconNamesTheWorst(t *testing.T) {
	r := recon(t)
	p, v := r.Replication, r.Verification
	if p.Reported != 2 || *p.Low != 2 || *p.High != 4 || *p.Average != 3 || *p.Worst != "db3" ||
		p.Oldest.Name != "db3" || p.Newest.Name != "db1" {
		t.Errorf("replication: %+v", p)
	}
	if v.Reported != 2 || v.Damages != 3 || v.Failures != 3 || v.Oldest.Name != "db2" || v.Newest.Name != "db3" ||
		v.Oldest.Seconds != 50*3600 || len(v.Never) != 1 || v.Never[0] != "db1" || v.Damaged[0] != "db3" {
		t.Errorf("verification: %+v", v)
	}
	var text strings.Builder
	if err := admin.WriteRecon(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"high 4.0 s (db3)", "DAMAGE on db3", "never: db1", "(50h0m0s ago) by db2",
		"NO ANSWER from d:1: connection refused",
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, text.String())
		}
	}
}

func TestEveryFieldOfAReconIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/commands-json.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range jsonNames(reflect.TypeFor[admin.Recon](), map[string]bool{}) {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/commands-json.md does not explain `%s`", name)
		}
	}
	if b, err := json.Marshal(admin.NewRecon()); err != nil || strings.Contains(string(b), `"nodes":null`) {
		t.Errorf("got %s, %v", b, err)
	}
}
