package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// An administrator looks after a server with a real client: sees who it is, packs below it, sees who holds the lock.
func TestAnAdministratorLooksAfterAServerWithARealClient(t *testing.T) {
	t.Parallel()
	const label = "plone, instance 1"
	m := newMachine(t, "A")
	server := filepath.Join(m.dir, "admin")
	m.write(t, "zeo.conf", "<zeo>\n  address "+m.zeo+"\n</zeo>\n<filestorage>\n  path Data.fs\n  blob-dir blobs\n"+
		"</filestorage>\n<admin>\n  address "+server+"\n</admin>\n")
	m.run(t, m.zeo, zrsd, "serve", "-C", "zeo.conf")
	client := startPython(t, "zodb", "labelled_client.py", label, newSite(t, true).blobs, m.zeo)
	client.do(t, "create 12")
	client.do(t, "commit 40")
	client.do(t, "remember")

	awaitClients(t, server, "the client is idle", func(list []admin.Client) bool {
		return len(list) == 1 && list[0].Doing == "idle" && list[0].Commits >= 52
	})
	if table := command(t, "clients", server); !strings.Contains(table, label) || !strings.Contains(table, "writer") {
		t.Errorf("clients are\n%s", table)
	}

	result := packed(t, command(t, "pack", server, "--json", "--no-keep-old"))
	if info, err := os.Stat(m.data); err != nil || result.After >= result.Before || info.Size() != result.After {
		t.Errorf("the pack says %+v, the file has %v, %v", result, info, err)
	}
	client.do(t, fmt.Sprint("size ", result.After)) // it is told without asking
	client.do(t, "reread")
	client.do(t, "commit 5")
	client.do(t, "remember")
	client.do(t, "reread")

	var undoable admin.UndoLogDocument
	decode(t, command(t, "undo-log", server, "--json", "--description", "change"), &undoable)
	if len(undoable.Transactions) != 5 {
		t.Errorf("after the pack there were five transactions, and %+v can be undone", undoable)
	}
	client.do(t, "commit 4")
	decode(t, command(t, "undo-log", server, "--json", "-n", "4"), &undoable)
	args := []string{"undo", server}
	for _, one := range undoable.Transactions {
		args = append(args, one.Tid.String())
	}
	if said := command(t, append(args, "--dry-run")...); !strings.Contains(said, "nothing was changed") {
		t.Errorf("a dry run says %s", said)
	}
	if said := command(t, args...); !strings.HasPrefix(said, "undid ") {
		t.Errorf("an undo says %s", said)
	}
	client.do(t, "reread") // as it was remembered: the client is told what has changed

	client.do(t, "vote")
	awaitClients(t, server, "it holds the lock", func(list []admin.Client) bool {
		return len(list) == 1 && list[0].Doing == "holding" && list[0].DoingSince != nil
	})
	client.kill(t)
	awaitClients(t, server, "nobody is there", func(list []admin.Client) bool { return len(list) == 0 })
	m.stop(t)
	mustBeSound(t, m.site)
}

// command runs zrsd, expects that it succeeds, and returns what it prints.
func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(within(t), zrsd, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("zrsd %q: %v\n%s%s", args, err, out, exit.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// packed returns the result of a pack, which is its last line.
func packed(t *testing.T, lines string) *admin.PackResult {
	t.Helper()
	var last struct {
		Result *admin.PackResult `json:"result"`
	}
	lines = strings.TrimSpace(lines)
	decode(t, lines[strings.LastIndex(lines, "\n")+1:], &last)
	if last.Result == nil || !last.Result.Packed {
		t.Fatalf("it does not pack: %s", lines)
	}
	return last.Result
}

// awaitClients lists the clients until cond holds.
func awaitClients(t *testing.T, server, what string, cond func([]admin.Client) bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var doc admin.ClientsDocument
		text := command(t, "clients", server, "--json")
		decode(t, text, &doc)
		if cond(doc.Clients) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never %s: %s", what, text)
		}
	}
}
