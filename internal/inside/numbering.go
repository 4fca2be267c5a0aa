package inside

import (
	"iter"
	"math/bits"
	"slices"
	"sort"

	"github.com/zrsd/zrsd/zodb"
)

const (
	pageBits = 4096
	pageLen  = pageBits / 64
	// sparse is how few oids a page may have on average before a list of them takes less memory.
	sparse = 130
)

// A numbering gives each oid a number, ascending from 0.
type numbering struct {
	pages []numberPage
	list  []zodb.Oid // instead of pages, where oids are far apart
	count int
	// first is where the first page begins, and whole how many pages there are, if none is missing between them.
	first zodb.Oid
	whole int
}

// A numberPage has a bit for each of pageBits oids.
type numberPage struct {
	first  zodb.Oid
	before uint32 // numbers in pages before it
	words  [pageLen]numberWord
}

// A numberWord has a bit for each of 64 oids.
type numberWord struct {
	bits   uint64
	before uint32 // numbers before it
}

func numberOids(oids iter.Seq[zodb.Oid]) *numbering {
	n := &numbering{}
	last := -1
	for oid := range oids {
		first := oid - oid%pageBits
		if last < 0 || n.pages[last].first != first {
			n.pages = append(n.pages, numberPage{first: first, before: uint32(n.count)})
			last++
			if last > 64 && n.count < last*sparse {
				return listOids(oids)
			}
		}
		at := oid % pageBits
		n.pages[last].words[at/64].bits |= 1 << (at % 64)
		n.count++
	}
	n.pages = slices.Clip(n.pages)
	for i := range n.pages {
		number := n.pages[i].before
		for w := range n.pages[i].words {
			word := &n.pages[i].words[w]
			word.before = number
			number += uint32(bits.OnesCount64(word.bits))
		}
	}
	if last >= 0 && uint64(n.pages[last].first-n.pages[0].first)/pageBits == uint64(last) {
		n.first, n.whole = n.pages[0].first, len(n.pages)
	}
	return n
}

func listOids(oids iter.Seq[zodb.Oid]) *numbering {
	n := &numbering{}
	for oid := range oids {
		n.list = append(n.list, oid)
	}
	n.list, n.count = slices.Clip(n.list), len(n.list)
	return n
}

// number returns the number of an oid.
func (n *numbering) number(oid zodb.Oid) (number uint32, ok bool) {
	i := uint64(oid-n.first) / pageBits
	if i >= uint64(n.whole) {
		return n.lookUp(oid)
	}
	word, bit := &n.pages[i].words[oid/64%pageLen], uint64(1)<<(oid%64)
	return word.before + uint32(bits.OnesCount64(word.bits&(bit-1))), word.bits&bit != 0
}

// lookUp is number without knowing where the page is.
func (n *numbering) lookUp(oid zodb.Oid) (number uint32, ok bool) {
	if n.list != nil {
		i, ok := slices.BinarySearch(n.list, oid)
		return uint32(i), ok
	}
	if len(n.pages) == 0 || oid < n.pages[0].first {
		return 0, false
	}
	p := n.search(oid)
	word, bit := &p.words[oid/64%pageLen], uint64(1)<<(oid%64)
	return word.before + uint32(bits.OnesCount64(word.bits&(bit-1))), oid-p.first < pageBits && word.bits&bit != 0
}

// search returns the last page that begins at or before an oid. That is not after the place where it would be without
// gaps.
func (n *numbering) search(oid zodb.Oid) *numberPage {
	expected := uint64(oid-n.pages[0].first) / pageBits
	after := min(expected, uint64(len(n.pages)-1)) + 1
	return &n.pages[sort.Search(int(after), func(i int) bool { return n.pages[i].first > oid })-1]
}

// oid returns the oid of a number.
func (n *numbering) oid(number uint32) zodb.Oid {
	if n.list != nil {
		return n.list[number]
	}
	i := sort.Search(len(n.pages), func(i int) bool { return n.pages[i].before > number }) - 1
	p := &n.pages[i]
	w := sort.Search(pageLen, func(w int) bool { return p.words[w].before > number }) - 1
	word := p.words[w].bits
	for range number - p.words[w].before {
		word &= word - 1
	}
	return p.first + zodb.Oid(w*64+bits.TrailingZeros64(word))
}
