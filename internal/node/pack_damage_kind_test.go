package node

import (
	"testing"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/zodb"
)

// A blob or a folder of blobs that cannot be read is no damage of the data file, and keeps nobody from packing it.
func TestBlobsThatCannotBeReadAreNoDamageOfTheDataFile(t *testing.T) {
	pos, oid := int64(4711), zodb.Oid(3)
	for name, c := range map[string]struct {
		f    check.Finding
		want bool
	}{
		"a sector of the file": {check.Finding{Kind: verify.KindUnreadable, Pos: &pos}, true},
		"a blob":               {check.Finding{Kind: verify.KindUnreadable, Oid: &oid}, false},
		"a folder":             {check.Finding{Kind: check.KindBlobFolder}, false},
	} {
		c.f.Severity = check.Damage
		if got := ofDataFile(&verify.Finding{Finding: c.f, Where: verify.Here}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
