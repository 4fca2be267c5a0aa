package record

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zrsd/zrsd/internal/pickle"
)

// known shows objects of classes whose pickles only their classes understand; nil for all others.
func (b *builder) known(o *pickle.Object) *Node {
	class, _ := className(o.Class)
	args, _ := o.Args.(pickle.Tuple)
	switch class {
	case "builtins.set":
		return b.set(Set, args)
	case "builtins.frozenset":
		return b.set(FrozenSet, args)
	case "datetime.datetime", "datetime.date", "datetime.time":
		return moment(class, args)
	case "datetime.timedelta":
		return timedelta(args)
	case "copyreg._reconstructor":
		return b.reconstructed(o, args)
	}
	return stateOf(class, o.State)
}

// stateOf shows objects that are known by their state.
func stateOf(class string, state pickle.Value) *Node {
	switch class {
	case "DateTime.DateTime.DateTime":
		return dateTime(state)
	case "uuid.UUID":
		return uuid(state)
	}
	return nil
}

// set shows a set, of which the argument is the list of its items.
func (b *builder) set(kind Kind, args pickle.Tuple) *Node {
	if len(args) == 0 {
		return &Node{Kind: kind}
	}
	if list, ok := args[0].(*pickle.List); ok && len(args) == 1 {
		return &Node{Kind: kind, Items: b.nodes(list.Items)}
	}
	return nil
}

// reconstructed shows an object as protocols 0 and 1 make it, like one of protocol 2: class, base class and what that
// holds are the arguments.
func (b *builder) reconstructed(o *pickle.Object, args pickle.Tuple) *Node {
	if len(args) != 3 {
		return nil
	}
	class, ok := className(args[0])
	if !ok {
		return nil
	}
	if n := stateOf(class, o.State); n != nil {
		return n
	}
	n := &Node{Kind: Object, Class: class, Items: b.nodes(o.Appended), Pairs: b.pairs(o.Set)}
	if args[2] != nil {
		n.Args = b.nodes(args[2:])
	}
	if o.HasState {
		n.State = b.node(o.State)
	}
	return n
}

// raw returns the bytes of an argument, whichever Python has written it.
func raw(v pickle.Value) []byte {
	switch v := v.(type) {
	case pickle.Bytes:
		return v
	case pickle.ByteString:
		return v
	case string: // Python 2's, read with latin1
		b := make([]byte, 0, len(v))
		for _, r := range v {
			b = append(b, byte(r))
		}
		return b
	}
	return nil
}

// moment shows the packed bytes of datetime, date and time:
//
//	year(2) month day                           date
//	hour minute second microsecond(3)           time
//	year(2) month day hour … microsecond(3)     datetime
func moment(class string, args pickle.Tuple) *Node {
	if len(args) == 0 {
		return nil
	}
	var s string
	switch p := raw(args[0]); {
	case class == "datetime.date" && len(p) == 4:
		s = dateText(p)
	case class == "datetime.time" && len(p) == 6:
		s = timeText(p)
	case class == "datetime.datetime" && len(p) == 10:
		s = dateText(p) + "T" + timeText(p[4:])
	default:
		return nil
	}
	if len(args) > 1 {
		s += zoneText(args[1])
	}
	return &Node{Kind: Moment, Class: strings.TrimPrefix(class, "datetime."), Text: s}
}

func dateText(p []byte) string {
	return fmt.Sprintf("%04d-%02d-%02d", binary.BigEndian.Uint16(p), p[2]&0x7f, p[3])
}

func timeText(p []byte) string {
	micros := int(p[3])<<16 | int(p[4])<<8 | int(p[5])
	s := fmt.Sprintf("%02d:%02d:%02d", p[0]&0x7f, p[1], p[2])
	if micros > 0 {
		s += fmt.Sprintf(".%06d", micros)
	}
	return s
}

// zoneText shows a time zone: the offset of datetime.timezone, the name of one of pytz or zoneinfo, else its class.
func zoneText(zone pickle.Value) string {
	o, ok := zone.(*pickle.Object)
	if !ok {
		return ""
	}
	class, _ := className(o.Class)
	args, _ := o.Args.(pickle.Tuple)
	if class == "pytz._UTC" {
		return "+00:00"
	}
	if len(args) == 0 {
		return " " + class
	}
	if name, ok := pickle.Text(args[0]); ok {
		return " " + name
	}
	if delta, ok := args[0].(*pickle.Object); ok {
		parts, _ := delta.Args.(pickle.Tuple)
		if days, seconds, _, ok := deltaOf(parts); ok && days >= -1 && days <= 0 {
			return time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", int(days*86400+seconds))).Format("-07:00")
		}
	}
	return " " + class
}

func timedelta(args pickle.Tuple) *Node {
	days, seconds, micros, ok := deltaOf(args)
	if !ok {
		return nil
	}
	s := fmt.Sprintf("%+d days %02d:%02d:%02d", days, seconds/3600, seconds/60%60, seconds%60)
	if micros != 0 {
		s += fmt.Sprintf(".%06d", micros)
	}
	return &Node{Kind: Moment, Class: "timedelta", Text: s}
}

// deltaOf reads the arguments of a timedelta, which Python keeps within a day but for the days.
func deltaOf(args pickle.Tuple) (days, seconds, micros int64, ok bool) {
	if len(args) != 3 {
		return 0, 0, 0, false
	}
	days, ok = args[0].(int64)
	seconds, is := args[1].(int64)
	micros, too := args[2].(int64)
	return days, seconds, micros, ok && is && too && seconds >= 0 && seconds < 86400 && micros >= 0 && micros < 1e6
}

// dateTime shows a DateTime of Zope, in UTC and with the zone that it is shown in. Its state is (microseconds, naive,
// zone), or in versions below 3 a dictionary, with seconds.
func dateTime(state pickle.Value) *Node {
	var micros int64
	var zone string
	switch s := state.(type) {
	case pickle.Tuple:
		if len(s) != 3 {
			return nil
		}
		n, ok := s[0].(int64)
		if !ok {
			return nil
		}
		micros = n
		zone, _ = pickle.Text(s[2])
	case *pickle.Dict:
		t, _ := s.Get("_t")
		seconds, ok := t.(float64)
		if !ok || seconds != seconds || seconds > 1e12 || seconds < -1e12 {
			return nil
		}
		micros = int64(seconds * 1e6)
		tz, _ := s.Get("_tz")
		zone, _ = pickle.Text(tz)
	default:
		return nil
	}
	s := time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.999999+00:00")
	if zone != "" && zone != "UTC" {
		s += " " + zone
	}
	return &Node{Kind: Moment, Class: "DateTime", Text: s}
}

func uuid(state pickle.Value) *Node {
	d, ok := state.(*pickle.Dict)
	if !ok {
		return nil
	}
	v, _ := d.Get("int")
	n, ok := v.(*big.Int)
	if small, is := v.(int64); is {
		n, ok = big.NewInt(small), true
	}
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return nil
	}
	h := fmt.Sprintf("%032x", n)
	return &Node{Kind: Object, Class: "uuid.UUID", Args: []*Node{
		text(strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")),
	}}
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
