package history

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/zrsd/zrsd/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// maxRecord bounds the records of the load, which are small.
const maxRecord = 1 << 20

// valueOf returns the value that a record gives to its object: the SHA-256 of a blob in hexadecimal, the number of a
// BTrees.Length.Length, the text under the key "value" of a PersistentMapping. Everything else has none.
func valueOf(rec *zodb.Record) (string, error) {
	if rec.Size > maxRecord {
		return "", fmt.Errorf("%d bytes are too many, at most %d are expected", rec.Size, maxRecord)
	}
	if rec.Size <= 0 {
		return "", nil
	}
	data, err := io.ReadAll(rec.Data)
	if err != nil {
		return "", err
	}
	if rec.Blob != nil {
		digest := sha256.New()
		if _, err := io.Copy(digest, rec.Blob); err != nil {
			return "", err
		}
		return hex.EncodeToString(digest.Sum(nil)), nil
	}
	_, state, err := pickle.LoadRecord(data, pickle.Limits{})
	if err != nil {
		return "", err
	}
	return valueIn(state), nil
}

func valueIn(state pickle.Value) string {
	switch state := state.(type) {
	case int64:
		return strconv.FormatInt(state, 10)
	case *pickle.Dict:
		if content, ok := state.Get("data"); ok {
			if content, ok := content.(*pickle.Dict); ok {
				value, _ := content.Get("value")
				text, _ := pickle.Text(value)
				return text
			}
		}
	}
	return ""
}
