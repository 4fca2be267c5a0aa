package node

import (
	"fmt"

	"github.com/zrsd/zrsd/protocol"
)

// codeNames are the reasons for a refusal as status and metrics name them. They are part of both contracts.
var codeNames = map[protocol.Code]string{
	protocol.CodeInternal:       "internal",
	protocol.CodeProtocol:       "protocol",
	protocol.CodeWrongStorage:   "wrong_storage",
	protocol.CodeAhead:          "ahead",
	protocol.CodeDiverged:       "diverged",
	protocol.CodeBlobsRequired:  "blobs_required",
	protocol.CodeTooMany:        "too_many",
	protocol.CodeNotAuthorised:  "not_authorised",
	protocol.CodeMagic:          "magic",
	protocol.CodeShuttingDown:   "shutting_down",
	protocol.CodeUnknownMessage: "unknown_message",
	protocol.CodeBlobsNotShared: "blobs_not_shared",
	protocol.CodeOutranked:      "outranked",
	protocol.CodeNotMember:      "not_member",
	protocol.CodeNameTaken:      "name_taken",
}

// addRefusals adds counts by code to counts by name.
func addRefusals(to map[string]int64, counts map[protocol.Code]int64) {
	for code, n := range counts {
		name, known := codeNames[code]
		if !known {
			name = fmt.Sprintf("code_%d", int(code)) // of a newer peer
		}
		to[name] += n
	}
}
