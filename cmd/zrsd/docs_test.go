package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func operations(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFlagIsDocumented(t *testing.T) {
	doc := operations(t)
	for _, cmd := range rootCommand().Commands() {
		if cmd.Name() == "status" { // shows what it asks for
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !regexp.MustCompile("--" + f.Name + `\b`).MatchString(doc) {
				t.Errorf("docs/operations.md does not mention --%s of zrsd %s", f.Name, cmd.Name())
			}
		})
	}
}

func TestTheDocumentedExitCodesAreThoseOfTheHelp(t *testing.T) {
	doc := operations(t)
	for _, line := range strings.Split(exitHelp, "\n")[1:] {
		code, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if row := "| " + code + " | " + strings.TrimSpace(text) + " |"; !ok || !strings.Contains(doc, row) {
			t.Errorf("docs/operations.md has no row %q", row)
		}
	}
}
