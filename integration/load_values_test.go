package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"github.com/zrsd/zrsd/internal/consistency"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// maxLoadRecord bounds the records of the load, which are small.
const maxLoadRecord = 1 << 20

// readTruth reads all of a history of clients that run zeo_history.py, which was never packed.
func readTruth(ctx context.Context, file consistency.File) (*consistency.Truth, error) {
	txns, err := consistency.ReadFile(ctx, file, func(rec *zodb.Record) (string, bool, error) {
		value, err := loadValue(rec)
		return value, true, err
	})
	if err != nil {
		return nil, err
	}
	return consistency.NewTruth(txns)
}

// loadValue returns the value that a record gives to its object: the SHA-256 of a blob in hexadecimal, the number of a
// BTrees.Length.Length, the text under the key "value" of a PersistentMapping. Everything else has none.
func loadValue(rec *zodb.Record) (string, error) {
	if rec.Size > maxLoadRecord {
		return "", fmt.Errorf("%d bytes are too many, at most %d are expected", rec.Size, maxLoadRecord)
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
	_, saved, err := pickle.LoadRecord(data, pickle.Limits{})
	if err != nil {
		return "", err
	}
	return loadValueIn(saved), nil
}

func loadValueIn(saved pickle.Value) string {
	switch saved := saved.(type) {
	case int64:
		return strconv.FormatInt(saved, 10)
	case *pickle.Dict:
		if content, ok := saved.Get("data"); ok {
			if content, ok := content.(*pickle.Dict); ok {
				value, _ := content.Get("value")
				text, _ := pickle.Text(value)
				return text
			}
		}
	}
	return ""
}
