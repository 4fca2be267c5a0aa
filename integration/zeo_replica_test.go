package integration

import "testing"

// TestZEOClientsWriteOnAPrimaryAndReadOnASecondary is what a site with reporting replicas does: its application writes
// on the primary, and reports read on the secondary, where nobody can write.
func TestZEOClientsWriteOnAPrimaryAndReadOnASecondary(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, true), newSite(t, true)
	a.open(t).Close()
	to, first, second := freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, "primary", a, "--replicate-to", to, "--zeo", first)
	start(t, "secondary", b, "--replicate-from", to, "--zeo", second)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, first)
	writer.do(t, "create 9")
	reader := startPython(t, "zodb", "zeo_reader.py", "reader", newSite(t, true).blobs, second)
	reader.do(t, "refused")
	for range 5 {
		tid := writer.do(t, "commit 10")
		reader.do(t, "see "+tid.String())
	}
	old := startPython(t, "zeo5", "zeo_reader.py", "reader", newSite(t, true).blobs, second)
	old.do(t, "see "+writer.do(t, "pack").String())
	tid := writer.close(t)
	reader.do(t, "see "+tid.String())
	old.close(t)
	reader.close(t)
}

// TestAClientFallsBackToASecondaryAndReturns is ZEO's read-only-fallback: a client with both addresses writes where it
// can, reads where it cannot, and goes back to writing by itself. The primary is stopped and not killed: for as long as
// another server serves it, ZEO 6.2's client does not try an address again whose connection ended before it was
// registered there, and in the moment of a kill a connection can still be made.
func TestAClientFallsBackToASecondaryAndReturns(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, true), newSite(t, true)
	a.open(t).Close()
	to, first, second := freeAddress(t), freeAddress(t), freeAddress(t)
	serve := []string{"--replicate-to", to, "--zeo", first}
	primary := start(t, "primary", a, serve...)
	secondary := start(t, "secondary", b, "--replicate-from", to, "--zeo", second)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, first)
	mustReach(t, secondary, writer.do(t, "create 9"))
	writer.close(t)
	client := startPython(t, "zodb", "zeo_reader.py", "fallback", newSite(t, true).blobs, second, first)
	client.do(t, "writable")
	for range 2 {
		tid := client.do(t, "commit")
		mustReach(t, secondary, tid)
		stop(t, primary)
		client.do(t, "readable")
		client.do(t, "see "+tid.String())
		client.do(t, "refused")
		primary = start(t, "primary", a, serve...)
		client.do(t, "writable")
	}
	client.close(t)
}
