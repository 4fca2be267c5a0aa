package wire

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/internal/pickle"
)

// ways are the short one and the general one of each encoding.
var ways = map[string]struct {
	plain   func([]byte) (pickle.Value, bool)
	general func([]byte) (*Message, error)
}{Z5: {plainPickle, generalPickle}, M5: {plainPacked, generalPacked}}

// agree checks that the general way reads what the short one has read, if it has.
func agree(t *testing.T, encoding string, body []byte) (plain bool) {
	t.Helper()
	v, ok := ways[encoding].plain(body)
	if !ok {
		return false
	}
	got, gotErr := message(v)
	want, err := ways[encoding].general(body)
	if (err == nil) != (gotErr == nil) {
		t.Fatalf("%s %x: %v, and the general way %v", encoding, body, gotErr, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s %x: %s", encoding, body, diff)
	}
	return true
}

func TestMessagesOfCommitsAreReadTheShortWay(t *testing.T) {
	short := map[string]bool{
		"tpc_begin": true, "storea": true, "vote": true, "tpc_finish": true, "tpc_abort": true, "loadBefore": true,
		"checkCurrentSerialInTransaction": true,
	}
	for encoding := range ways {
		seen := 0
		eachMessage(t, encoding, func(name string, l *line, body []byte) {
			plain := agree(t, encoding, body)
			m, err := ways[encoding].general(body)
			if err != nil || !short[m.Method] || l.Dir != "c2s" {
				return
			}
			if begin, _ := m.Args.(pickle.Tuple); m.Method == "tpc_begin" {
				if d, _ := begin[3].(*pickle.Dict); len(d.Items) > 0 {
					return // an extension may be anything
				}
			}
			if seen++; !plain {
				t.Errorf("%s: %s is read the long way", name, l.Decoded)
			}
		})
		if seen == 0 {
			t.Errorf("no message of a commit in %s", encoding)
		}
	}
}

// What is damaged, or made up, is read by the short way only where the general one reads the same.
func TestTheShortWayTakesNothingThatTheGeneralOneRefuses(t *testing.T) {
	for encoding := range ways {
		var bodies [][]byte
		eachMessage(t, encoding, func(_ string, _ *line, body []byte) {
			if len(body) < 300 {
				bodies = append(bodies, slices.Clone(body))
			}
		})
		const codes = "()}NXCBKMJ\x8a\x85\x86\x87t.\x90\x91\x92\x94\xc0\xc2\xc4\xcf\xe0"
		random := rand.New(rand.NewPCG(1, 2))
		plain := 0
		for range 20_000 {
			body := slices.Clone(bodies[random.IntN(len(bodies))])
			for range random.IntN(3) {
				at := random.IntN(len(body))
				switch random.IntN(4) {
				case 0:
					body[at] = byte(random.Uint32())
				case 1:
					body = slices.Delete(body, at, at+1)
				case 2:
					body = slices.Insert(body, at, codes[random.IntN(len(codes))])
				case 3:
					body = body[:at]
				}
				if len(body) == 0 {
					break
				}
			}
			if len(body) > 0 && agree(t, encoding, body) {
				plain++
			}
		}
		if plain == 0 {
			t.Errorf("%s: nothing was read the short way", encoding)
		}
	}
}

func TestNumbersAreReadTheShortWay(t *testing.T) {
	for _, n := range []int64{
		0, 1, 127, 128, 255, 256, 65535, 65536, -1, -128, -20, 1 << 31, 1<<31 - 1, -1 << 31, 1 << 40, 1<<63 - 1,
		-1 << 63,
	} {
		for encoding := range ways {
			codec, _ := CodecFor(encoding)
			args := pickle.Tuple{n, "text", pickle.Bytes("b"), nil, true}
			raw, err := codec.Append(nil, &Message{int64(1), flagCall, "vote", args})
			if err != nil {
				t.Fatal(err)
			}
			if !agree(t, encoding, raw[SizeLen:]) && (encoding == Z5 || n >= 0) {
				t.Errorf("%s: %d is read the long way", encoding, n)
			}
		}
	}
}

func FuzzPlain(f *testing.F) {
	for encoding := range ways {
		eachMessage(f, encoding, func(_ string, _ *line, body []byte) { f.Add(encoding == M5, slices.Clone(body)) })
	}
	f.Fuzz(func(t *testing.T, msgpack bool, body []byte) {
		agree(t, map[bool]string{false: Z5, true: M5}[msgpack], body)
	})
}
