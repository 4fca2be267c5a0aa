package inside

import "math/bits"

// A numberSet is a set of numbers of objects, from which they are taken in ascending order. Above the bits of numbers
// are tiers with a bit for each word below that is not 0: so a set with few numbers is gone through in few steps.
type numberSet struct{ tiers [][]uint64 }

func newNumberSet(count int) *numberSet {
	s := &numberSet{}
	for words := (count + 63) / 64; ; words = (words + 63) / 64 {
		s.tiers = append(s.tiers, make([]uint64, max(words, 1)))
		if words <= 1 {
			return s
		}
	}
}

func (s *numberSet) add(number uint32) {
	for _, tier := range s.tiers {
		word := &tier[number/64]
		before := *word
		*word = before | 1<<(number%64)
		if before != 0 {
			return
		}
		number /= 64
	}
}

func (s *numberSet) empty() bool { return s.tiers[len(s.tiers)-1][0] == 0 }

// drain takes all numbers out. do may add to other sets only.
func (s *numberSet) drain(do func(number uint32)) { s.take(len(s.tiers)-1, 0, do) }

// take takes out what is in a word of a tier, and below it.
func (s *numberSet) take(tier int, at uint32, do func(number uint32)) {
	word := s.tiers[tier][at]
	s.tiers[tier][at] = 0
	for ; word != 0; word &= word - 1 {
		number := at*64 + uint32(bits.TrailingZeros64(word))
		if tier == 0 {
			do(number)
		} else {
			s.take(tier-1, number, do)
		}
	}
}
