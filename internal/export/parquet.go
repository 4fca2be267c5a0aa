package export

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// rowGroup is how many bytes of values are in memory before they are written.
const rowGroup = 32 << 20

// A parquetFile is a table as Apache Parquet. All columns are optional, and in the order of their names.
type parquetFile struct {
	file  *growing
	to    *parquet.GenericWriter[any]
	order []int // of the columns of the file: which of the table
	row   parquet.Row
	bytes int
}

func newParquet(f *growing, name string, columns []Column) *parquetFile {
	w := &parquetFile{file: f, order: make([]int, len(columns))}
	group := make(parquet.Group, len(columns))
	for i, c := range columns {
		group[c.Name] = parquet.Optional(parquetNode(c.Type))
		w.order[i] = i
	}
	slices.SortFunc(w.order, func(a, b int) int { return cmp.Compare(columns[a].Name, columns[b].Name) })
	w.to = parquet.NewGenericWriter[any](f, parquet.NewSchema(name, group), parquet.Compression(&zstd.Codec{}),
		parquet.CreatedBy("zrsd", "", ""))
	return w
}

func parquetNode(t Type) parquet.Node {
	switch t {
	case Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case Integer:
		return parquet.Int(64)
	case Double:
		return parquet.Leaf(parquet.DoubleType)
	case Timestamp:
		return parquet.Timestamp(parquet.Microsecond)
	case Bytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case JSON:
		return parquet.JSON()
	}
	return parquet.String()
}

// put is of tableWriter.
func (w *parquetFile) put(_ context.Context, values []any) error {
	w.row = w.row[:0]
	for column, i := range w.order {
		v := parquetValue(values[i])
		level := 1
		if v.IsNull() {
			level = 0
		}
		w.bytes += valueSize(values[i])
		w.row = append(w.row, v.Level(0, level, column))
	}
	if _, err := w.to.WriteRows([]parquet.Row{w.row}); err != nil {
		return err
	}
	if w.bytes < rowGroup {
		return nil
	}
	w.bytes = 0
	return w.to.Flush()
}

// valueSize is about what a value takes in memory.
func valueSize(v any) int {
	const bare = 16
	switch v := v.(type) {
	case string:
		return bare + len(v)
	case json.RawMessage:
		return bare + len(v)
	case []byte:
		return bare + len(v)
	}
	return bare
}

func parquetValue(v any) parquet.Value {
	switch v := v.(type) {
	case bool:
		return parquet.BooleanValue(v)
	case int64:
		return parquet.Int64Value(v)
	case float64:
		return parquet.DoubleValue(v)
	case string:
		return parquet.ByteArrayValue([]byte(v))
	case time.Time:
		return parquet.Int64Value(v.UnixMicro())
	case json.RawMessage:
		return parquet.ByteArrayValue(v)
	case []byte:
		return parquet.ByteArrayValue(v)
	}
	return parquet.NullValue()
}

// close is of tableWriter.
func (w *parquetFile) close() error {
	return errors.Join(w.to.Close(), w.file.Sync(), w.file.Close())
}
