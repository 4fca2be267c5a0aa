package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

const format = 1

const maxManifest = 4 << 20 // bytes

// An Identity is what an archive is of.
type Identity struct {
	Format     int       `json:"format"`
	Archive    string    `json:"archive"` // random, of this archive only
	Storage    string    `json:"storage"` // id of the storage
	Made       time.Time `json:"made"`
	By         string    `json:"by"`                   // name of the node that made it
	Recipients []string  `json:"recipients,omitempty"` // for whom it was encrypted then, for people
}

// A Part is the first segments of an earlier generation's own, which another one has as well.
type Part struct {
	Generation uint64 `json:"generation"`
	Segments   uint64 `json:"segments"`
}

// Reasons for which a generation is begun.
const (
	WhyFirst   = "first"   // the archive is new
	WhyPack    = "pack"    // the data file is another one, with the same history
	WhyEpoch   = "epoch"   // another primary, which has everything
	WhyHistory = "history" // another primary, which lacks transactions that were archived
)

// A Manifest is what a generation begins with. It is never changed.
type Manifest struct {
	Format     int              `json:"format"`
	Archive    string           `json:"archive"`
	Storage    string           `json:"storage"`
	Generation uint64           `json:"generation"`
	Why        string           `json:"why"`
	Epochs     []protocol.Epoch `json:"epochs"` // of its writer
	Node       string           `json:"node"`   // id of its writer
	Name       string           `json:"name"`   // likewise, for people
	At         time.Time        `json:"at"`
	External   bool             `json:"external_history,omitempty"` // the hash chain proves nothing

	// Parts are segments of earlier generations with which its path begins, and Start is where they end.
	Parts []Part `json:"parts,omitempty"`
	Start Place  `json:"start"`

	// Whole is how much of the file there was when it was begun: with that the generation is complete.
	Whole int64 `json:"whole"`
	// Since is the transaction from which on moments are of this generation, when it is complete.
	Since zodb.Tid `json:"since"`
}

// Lost reports whether transactions after Since that earlier generations have are not on the path of this one.
func (m *Manifest) Lost() bool { return m.Why == WhyHistory }

// Epoch is the epoch of the writer.
func (m *Manifest) Epoch() protocol.Epoch { return m.Epochs[len(m.Epochs)-1] }

// shared is how many segments the parts have.
func (m *Manifest) shared() (n uint64) {
	for _, p := range m.Parts {
		n += p.Segments
	}
	return n
}

// encodeDocument returns v as JSON, with a digest after it.
func encodeDocument(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	sum := sha256.Sum256(b)
	return fmt.Appendf(b, "sha256:%x\n", sum), nil
}

// decodeDocument parses what encodeDocument has made.
func decodeDocument(name string, b []byte, v any) error {
	const lastLine = len("sha256:") + 2*sha256.Size + 1
	if len(b) > maxManifest || len(b) < lastLine {
		return damaged(name, "it has %d bytes", len(b))
	}
	text, line := b[:len(b)-lastLine], b[len(b)-lastLine:]
	if sum := sha256.Sum256(text); !bytes.Equal(line, fmt.Appendf(nil, "sha256:%x\n", sum)) {
		return damaged(name, "its digest is wrong")
	}
	var newer struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &newer); err != nil {
		return damaged(name, "%v", err)
	}
	if newer.Format != format {
		return fmt.Errorf("%s of the archive has format %d, and this version of zrsd knows %d: run the version that "+
			"wrote it, or a newer one", name, newer.Format, format)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return damaged(name, "%v", err)
	}
	return nil
}

// decodeManifest parses the manifest of a generation.
func decodeManifest(n uint64, b []byte) (*Manifest, error) {
	name := generationName(n)
	m := new(Manifest)
	if err := decodeDocument(name, b, m); err != nil {
		return nil, err
	}
	if err := m.check(n); err != nil {
		return nil, damaged(name, "%v", err)
	}
	return m, nil
}

// check reports the first rule that a manifest breaks.
func (m *Manifest) check(n uint64) error {
	switch {
	case m.Generation != n:
		return fmt.Errorf("it is that of generation %d", m.Generation)
	case len(m.Epochs) == 0:
		return errors.New("it has no epochs")
	case m.Start.To < 0 || m.Start.End > m.Start.To || m.Start.End < 0 || m.Start.Highest < m.Start.Last:
		return errors.New("its parts end at an impossible place")
	case len(m.Parts) == 0 && m.Start != (Place{}):
		return errors.New("it has no parts, and does not begin at 0")
	case m.Whole < 0 || m.Whole > maxFileBytes:
		return fmt.Errorf("its file had %d bytes", m.Whole)
	}
	before := uint64(0)
	for _, p := range m.Parts {
		if p.Generation <= before || p.Generation >= n || p.Segments == 0 {
			return fmt.Errorf("it has %d segments of generation %d", p.Segments, p.Generation)
		}
		before = p.Generation
	}
	return nil
}
