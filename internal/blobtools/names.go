package blobtools

import (
	"strings"

	"github.com/zrsd/zrsd/blobstore"
)

// isTemporary reports whether a name is one that ZODB, ZEO or zrsd gives to what is not a blob yet.
func isTemporary(name string) bool {
	return strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, "zrsd-") || strings.HasPrefix(name, "BUC") ||
		strings.HasSuffix(name, ".blob.dl")
}

func isBlobName(name string) bool {
	_, ok := blobstore.ParseFileName(name)
	return ok
}

// isNumber reports whether a name is a folder of some layout.
func isNumber(name string) bool {
	digits, ok := strings.CutPrefix(name, "0x")
	return ok && len(digits) > 0 && len(digits) <= 16 && strings.Trim(digits, "0123456789abcdef") == ""
}
