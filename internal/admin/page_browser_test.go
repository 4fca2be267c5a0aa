package admin_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// moving is a source whose clients have done more each time that it is asked.
type moving struct {
	admin.Status
	asked atomic.Int64
}

func (m *moving) status() admin.Status {
	st := m.Status
	zeo := *st.ZEO
	zeo.Commits = 1_000_000 + m.asked.Add(1)
	st.ZEO = &zeo
	return st
}

// movingSource makes a Source of it.
type movingSource struct{ *moving }

func (m movingSource) Status() admin.Status { return m.status() }

// chromium loads a page in a browser without a window, lets some seconds of its time pass, and returns the document as
// it is then, and what the browser has logged.
func chromium(t *testing.T, url string) (dom, log string) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("ZRSD_REQUIRE_PYTHON") != "1" {
		t.Skipf("the status page is tested in a browser: install chromium: %v", err)
	}
	if err != nil {
		t.Fatalf("the status page is tested in a browser: install chromium (apt-get install chromium): %v", err)
	}
	args := []string{"--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + t.TempDir(),
		"--enable-logging=stderr", "--virtual-time-budget=9000", "--dump-dom", url}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	return out.String(), errs.String()
}

// commitsShown returns the number of commits in a document.
func commitsShown(t *testing.T, dom string) int {
	t.Helper()
	found := regexp.MustCompile(`1,000,(\d\d\d) in all`).FindStringSubmatch(dom)
	if found == nil {
		t.Fatalf("the page does not show the commits:\n%s", dom)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// The page moves by itself, and a browser has nothing to complain of. Without a script it shows the same.
func TestThePageLivesInABrowser(t *testing.T) {
	s := httptest.NewServer(admin.Handler(movingSource{&moving{Status: full(t)}}, nil))
	defer s.Close()
	dom, log := chromium(t, s.URL+"/")
	if n := commitsShown(t, dom); n < 5 { // one page asks for the status twice
		t.Errorf("after some seconds it shows what the first page did: %d", n)
	}
	if strings.Contains(log, "CONSOLE") {
		t.Errorf("the browser has logged:\n%s", log)
	}
	for _, part := range []string{`<svg viewBox="0 0 440 150" role="img" aria-label="Commits a second`, `<caption`,
		`aria-live="polite"`, "What to do:"} {
		if !strings.Contains(dom, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	_, _, plain := browse(t, s.URL+"/") // what a browser without a script has
	commitsShown(t, plain)
	if !strings.Contains(plain, `<noscript><meta http-equiv="refresh"`) {
		t.Error("without a script the page does not come again")
	}
}

// Each text has a contrast of at least 4.5 to what it stands on, in light and in dark: WCAG 2, level AA.
func TestTextsCanBeRead(t *testing.T) {
	css, err := os.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, _ := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	dark, _, _ = strings.Cut(dark, "* {")
	colours := regexp.MustCompile(`--([a-z0-9-]+): #([0-9a-f]{6})`)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		luminance := map[string]float64{}
		for _, m := range colours.FindAllStringSubmatch(text, -1) {
			luminance[m[1]] = luminanceOf(t, m[2])
		}
		for _, pair := range []string{"text back", "text card", "soft back", "soft card", "link back", "link card",
			"card link", "good card", "good good-back", "warn card", "warn warn-back", "bad card", "bad bad-back",
			"text badge", "text warn-back", "text bad-back"} {
			a, b, _ := strings.Cut(pair, " ")
			if got := contrast(luminance[a], luminance[b]); got < 4.5 {
				t.Errorf("%s: %s has a contrast of %.2f", scheme, pair, got)
			}
		}
		for i := range 8 { // lines need 3
			if got := contrast(luminance[fmt.Sprint("c", i)], luminance["card"]); got < 3 {
				t.Errorf("%s: line %d has a contrast of %.2f", scheme, i, got)
			}
		}
	}
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

func luminanceOf(t *testing.T, hex string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		v := float64(rgb>>shift&0xff) / 255
		if v <= 0.03928 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
