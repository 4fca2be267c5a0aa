package primary

import (
	"github.com/zrsd/zrsd/internal/printable"
)

// maxName is how many bytes of a text from a peer are shown.
const maxName = 200

// clean is what is shown of a text from a peer.
func clean(s string) string { return printable.Short(s, maxName) }
