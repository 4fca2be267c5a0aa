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
	sparse = 80
)

// A numbering gives each oid a number, ascending from 0.
type numbering struct {
	pages []numberPage
	list  []zodb.Oid // instead of pages, where oids are far apart
	count int
}

// A numberPage has a bit for each of pageBits oids.
type numberPage struct {
	first  zodb.Oid
	before uint32 // numbers in pages before it
	bits   [pageLen]uint64
	ranks  [pageLen]uint16 // numbers in this page before each word
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
		n.pages[last].bits[at/64] |= 1 << (at % 64)
		n.count++
	}
	for i := range n.pages {
		rank := 0
		for w, word := range n.pages[i].bits {
			n.pages[i].ranks[w] = uint16(rank)
			rank += bits.OnesCount64(word)
		}
	}
	n.pages = slices.Clip(n.pages)
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
	if n.list != nil {
		i, ok := slices.BinarySearch(n.list, oid)
		return uint32(i), ok
	}
	p := n.page(oid)
	if p == nil {
		return 0, false
	}
	at := oid - p.first
	word, bit := p.bits[at/64], uint64(1)<<(at%64)
	if word&bit == 0 {
		return 0, false
	}
	return p.before + uint32(p.ranks[at/64]) + uint32(bits.OnesCount64(word&(bit-1))), true
}

// page returns the page of an oid; nil where there is none. Where oids have no gaps it is where it would be expected.
func (n *numbering) page(oid zodb.Oid) *numberPage {
	if len(n.pages) == 0 || oid < n.pages[0].first {
		return nil
	}
	expected := min(uint64(oid-n.pages[0].first)/pageBits, uint64(len(n.pages)-1))
	p := &n.pages[expected]
	if oid < p.first { // there are gaps before it
		i := sort.Search(int(expected), func(i int) bool { return n.pages[i].first > oid }) - 1
		p = &n.pages[i]
	}
	if oid-p.first >= pageBits {
		return nil
	}
	return p
}

// oid returns the oid of a number.
func (n *numbering) oid(number uint32) zodb.Oid {
	if n.list != nil {
		return n.list[number]
	}
	i := sort.Search(len(n.pages), func(i int) bool { return n.pages[i].before > number }) - 1
	p := &n.pages[i]
	rank := int(number - p.before)
	w := sort.Search(pageLen, func(w int) bool { return int(p.ranks[w]) > rank }) - 1
	word := p.bits[w]
	for range rank - int(p.ranks[w]) {
		word &= word - 1
	}
	return p.first + zodb.Oid(w*64+bits.TrailingZeros64(word))
}
