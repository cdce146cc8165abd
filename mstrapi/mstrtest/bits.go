package mstrtest

import "math/bits"

// bitset is a set of indices into the sorted catalogue. All sets of one server
// have the same length.
type bitset []uint64

func newBitset(words int) bitset { return make(bitset, words) }

func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitset) add(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) remove(i int)   { b[i>>6] &^= 1 << (i & 63) }

func (b bitset) clone() bitset { return append(bitset(nil), b...) }

func (b bitset) or(other bitset) {
	for w := range b {
		b[w] |= other[w]
	}
}

func (b bitset) and(other bitset) {
	for w := range b {
		b[w] &= other[w]
	}
}

func (b bitset) andNot(other bitset) {
	for w := range b {
		b[w] &^= other[w]
	}
}

func (b bitset) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// each calls f with every member in ascending order.
func (b bitset) each(f func(i int)) {
	for w, word := range b {
		for word != 0 {
			f(w<<6 + bits.TrailingZeros64(word))
			word &= word - 1
		}
	}
}
