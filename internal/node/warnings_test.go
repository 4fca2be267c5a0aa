package node

import (
	"slices"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/warning"
)

func at(t *testing.T, text string) endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What only the settings of a node say is warned about, too, and by the document of a storage that is not open as well.
func TestSettingsAreWarnedAbout(t *testing.T) {
	c := &Config{Data: "Data.fs", ReplicateTo: at(t, "0.0.0.0:5000"), Admin: at(t, "[::]:8080"),
		zeo: &ZEOConfig{Address: at(t, "0.0.0.0:8100")}, clients: func() (int, int) { return 9, 10 }}
	c.read.exposed = true
	list := newNodeStatus(roleStandalone, c).Status().Warnings
	for _, want := range []warning.Code{
		warning.PlainReplication, warning.PlainAdmin, warning.PlainZEO, warning.SecretExposed, warning.ManyClients,
	} {
		if !slices.ContainsFunc(list, func(w warning.Warning) bool { return w.Code == want }) {
			t.Errorf("%s is missing in %v", want, list)
		}
	}
	c = &Config{Data: "Data.fs", ReplicateTo: at(t, "127.0.0.1:5000"), Admin: at(t, "./admin"),
		zeo: &ZEOConfig{Address: at(t, "127.0.0.1:8100")}, clients: func() (int, int) { return 8, 10 }}
	if list := newNodeStatus(roleStandalone, c).Status().Warnings; len(list) > 0 {
		t.Errorf("there is nothing to warn about, and got %v", list)
	}
}

// The document of an open node has what it says itself, and no warning has passed when it is asked for again.
func TestTheDocumentOfAnOpenNodeHasItsWarnings(t *testing.T) {
	f := newNodeStatus(roleStandalone, &Config{Data: "Data.fs"})
	f.opened(func(st *admin.Status) { st.Fault = admin.Known("no room") })
	first := f.Status().Warnings
	again := f.Status().Warnings
	if len(first) != 1 || first[0].Code != warning.StorageFailed || len(again) != 1 ||
		!again[0].Since.Equal(first[0].Since) || time.Since(first[0].Since) > time.Hour {
		t.Errorf("got %v, then %v", first, again)
	}
}
