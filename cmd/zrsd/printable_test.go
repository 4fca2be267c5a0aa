package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"github.com/zrsd/zrsd/internal/admin"
)

// What a server answers is text from elsewhere, for every command and also in errors.
func TestNoAnswerSpeaksToTheTerminal(t *testing.T) {
	const hostile = "x\x1b[2J\u009b2J\u202e\u2028y"
	label := hostile
	source := fixedStatus{
		Role:        "primary" + hostile,
		Name:        hostile,
		NotReady:    &label,
		Secondaries: []admin.Secondary{{Name: hostile}},
	}
	good := httptest.NewServer(admin.Handler(source, nil))
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error": {"reason": "invalid", "text": "` + hostile + `"}}`))
	}))
	defer bad.Close()
	for _, server := range []*httptest.Server{good, bad} {
		addr := strings.TrimPrefix(server.URL, "http://")
		for _, args := range [][]string{
			{"status", addr}, {"status", "--json", addr}, {"clients", addr}, {"undo-log", addr}, {"freeze", addr},
			{"nagios", "-p", addr, "-s", addr},
		} {
			var out, failed strings.Builder
			run(t.Context(), args, &out, &failed)
			for _, text := range []string{out.String(), failed.String()} {
				if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
					t.Errorf("%q: %q", args, text)
				}
			}
		}
	}
}
