package archive

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

const (
	identityName  = "archive.json"
	generations   = "gen/"
	segments      = "seg/"
	blobs         = "blob/"
	allowed       = "allow/"
	verifications = "verified/"
)

// A SegmentID names a segment.
type SegmentID struct {
	Generation uint64 `json:"generation"`
	Sequence   uint64 `json:"sequence"`
}

func (id SegmentID) String() string {
	return fmt.Sprintf("segment %d of generation %d", id.Sequence, id.Generation)
}

func (id SegmentID) name() string {
	return fmt.Sprintf("%s%08d/%010d", segments, id.Generation, id.Sequence)
}

func generationName(n uint64) string { return fmt.Sprintf("%s%08d.json", generations, n) }

// allowName is that of an operator's word that a node may go on after a generation without what it lacks of it.
func allowName(generation, epoch uint64, node string) string {
	return fmt.Sprintf("%s%08d-%d-%s", allowed, generation, epoch, node)
}

// verificationName is that of what a verification has found: names sort by time.
func verificationName(ended time.Time, random uint64) string {
	return fmt.Sprintf("%s%s-%016x.json", verifications, ended.UTC().Format("20060102T150405.000000000Z"), random)
}

// name is where the blob of an entry is.
func (b *BlobEntry) name() string {
	return fmt.Sprintf("%s%v/%v-%016x", blobs, b.Oid, b.Tid, b.Name)
}

// parseGeneration returns the number of a manifest's name.
func parseGeneration(name string) (n uint64, ok bool) {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(name, generations), ".json")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0 && generationName(n) == name
}

func parseSegment(name string) (id SegmentID, ok bool) {
	generation, sequence, ok := strings.Cut(strings.TrimPrefix(name, segments), "/")
	if !ok {
		return id, false
	}
	g, err1 := strconv.ParseUint(generation, 10, 64)
	s, err2 := strconv.ParseUint(sequence, 10, 64)
	id = SegmentID{g, s}
	return id, err1 == nil && err2 == nil && g > 0 && s > 0 && id.name() == name
}

func parseBlob(name string) (b BlobEntry, ok bool) {
	oid, rest, ok := strings.Cut(strings.TrimPrefix(name, blobs), "/")
	if !ok {
		return b, false
	}
	tid, random, ok := strings.Cut(rest, "-")
	if !ok {
		return b, false
	}
	var err1, err2, err3 error
	b.Oid, err1 = zodb.ParseOid(oid)
	b.Tid, err2 = zodb.ParseTid(tid)
	b.Name, err3 = strconv.ParseUint(random, 16, 64)
	return b, err1 == nil && err2 == nil && err3 == nil && b.name() == name
}
