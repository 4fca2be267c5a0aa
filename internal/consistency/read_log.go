package consistency

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// maxLine bounds a line: a snapshot of some hundred objects.
const maxLine = 1 << 20

// ReadLog reads the log of a client from a file.
func ReadLog(client, path string) ([]Op, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var ops []Op
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		op := Op{Client: client, line: len(ops) + 1}
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(ops)+1, err)
		}
		ops = append(ops, op)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", path, len(ops)+1, err)
	}
	return ops, nil
}
