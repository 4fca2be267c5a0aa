package node

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
)

// refusesPack checks that a pack for an operator, and one for a client, change nothing because of known damage.
func (r *running) refusesPack(t *testing.T, why string) {
	t.Helper()
	before := dataOf(t, r.disk)
	_, err := r.pack(t, "", admin.PackRequest{})
	var refusal *admin.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != admin.NotAllowed || !strings.Contains(err.Error(), "zrsd heal") {
		t.Errorf("%s: got %v", why, err)
	}
	if !bytes.Equal(dataOf(t, r.disk), before) {
		t.Errorf("%s: the file was changed", why)
	}
}

// A pack would make known damage impossible to heal. So it is refused until that is healed, also after a restart, or
// until an operator wants it all the same.
func TestAFileWithKnownDamageIsNotPacked(t *testing.T) {
	site := newSite(t, nodetest.DiskWith(t, 1500)) // more than a block, of which a verification notes the checksum
	a := site.primary(t)
	a.Await(t, "it is ready", nodetest.Ready)
	_, records := places(t, a.disk)
	a.verify(t, admin.VerifyRequest{}) // it notes checksums
	flip(t, a.disk, "Data.fs", records[7]+42+2)
	a.verify(t, admin.VerifyRequest{})
	a.refusesPack(t, "a verification has found it")
	a.End(t)

	a = site.primary(t)
	a.Await(t, "it is ready", nodetest.Ready)
	a.refusesPack(t, "a verification before the restart has found it")
	result, err := a.pack(t, "", admin.PackRequest{GC: admin.Known(false), CopyDamage: true})
	if err != nil || !result.Packed {
		t.Errorf("as the operator wants it: %+v, %v", result, err)
	}
	if _, err := a.pack(t, "", admin.PackRequest{GC: admin.Known(false)}); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestAFileThatWasHealedIsPacked(t *testing.T) {
	a, b, clients, _ := shops(t, 20, HealAsk)
	flip(t, a.disk, "Data.fs", int64(len(dataOf(t, b.disk))/2+5))
	a.verify(t, admin.VerifyRequest{})
	a.refusesPack(t, "before it is healed")
	var damaged *DamagedError
	if err := clients.opt.Pack.Refuse(); !errors.As(err, &damaged) || damaged.Places == 0 {
		t.Errorf("for a client: %v", err)
	}
	if report := a.heal(t, admin.HealRequest{}); report.Healed == 0 || report.Failed > 0 {
		t.Fatalf("got %+v", report)
	}
	if _, err := a.pack(t, "", admin.PackRequest{GC: admin.Known(false)}); err != nil {
		t.Errorf("healed: %v", err)
	}
}
