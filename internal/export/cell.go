package export

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for zones of pytz and zoneinfo, on any machine

	"github.com/zrsd/zrsd/internal/record"
)

// A Type is that of a column.
type Type string

// The types, and what a value of them is.
const (
	Boolean   Type = "boolean"   // bool
	Integer   Type = "integer"   // int64
	Double    Type = "double"    // float64
	Text      Type = "text"      // string
	Timestamp Type = "timestamp" // time.Time
	Bytes     Type = "bytes"     // []byte
	JSON      Type = "json"      // json.RawMessage
)

// A cell is a value of an attribute; its type is empty for None.
type cell struct {
	typ   Type
	value any
}

// as returns the value for a column of a type, which has been found with this value in it.
func (c cell) as(t Type) any {
	switch {
	case c.typ == "":
		return nil
	case c.typ == t:
		return c.value
	case t == Double && c.typ == Integer:
		return float64(c.value.(int64))
	}
	return c.json()
}

// json returns the form of the value in a column of JSON.
func (c cell) json() json.RawMessage {
	switch v := c.value.(type) {
	case json.RawMessage:
		return v
	case []byte:
		return mustJSON(map[string]string{"@bytes": hex.EncodeToString(v)})
	case time.Time:
		return mustJSON(v.Format(time.RFC3339Nano))
	default:
		return mustJSON(v)
	}
}

// mustJSON is for values that have a form in JSON.
func mustJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// scalar returns the cell of a value that is one column; ok is false for references and objects.
func scalar(n *record.Node) (c cell, ok bool) {
	switch n.Kind {
	case record.None:
		return cell{}, true
	case record.Bool:
		return cell{Boolean, n.Text == "True"}, true
	case record.Int:
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
			return cell{Integer, i}, true
		}
	case record.Float:
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return cell{Double, f}, true
		}
	case record.Text:
		return cell{Text, strings.ToValidUTF8(n.Text, "\uFFFD")}, true
	case record.Bytes:
		return cell{Bytes, []byte(n.Text)}, true
	case record.Moment:
		return moment(n), true
	case record.Ref, record.Object:
		return cell{}, false
	}
	text, err := n.MarshalJSON()
	if err != nil {
		text = []byte("null")
	}
	return cell{JSON, json.RawMessage(text)}, true
}

// moment is a timestamp where it has a date, else text.
func moment(n *record.Node) cell {
	switch n.Class {
	case "datetime", "date", "DateTime":
		if t, ok := parseMoment(n.Text); ok {
			return cell{Timestamp, t}
		}
	}
	return cell{Text, n.Text}
}

// parseMoment reads what package record shows: 2024-05-06T08:00:00.5, with +02:00, a space and the name of a zone, or
// both, where the name is only how a DateTime is shown.
func parseMoment(text string) (time.Time, bool) {
	text, name, _ := strings.Cut(text, " ")
	for _, form := range []string{"2006-01-02T15:04:05.999999Z07:00", "2006-01-02T15:04:05.999999", time.DateOnly} {
		zone := time.UTC
		if name != "" && form != "2006-01-02T15:04:05.999999Z07:00" {
			var err error
			if zone, err = time.LoadLocation(name); err != nil {
				return time.Time{}, false
			}
		}
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
