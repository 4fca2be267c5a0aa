package archive

// A reused buffer is that of one goroutine, which it uses for one segment after the other.
type reused []byte

// of returns the buffer with this length, and room for a little more. What is in it is undefined.
func (r *reused) of(n int64) []byte {
	if have := int64(cap(*r)); have < n || have > 4*n+1<<20 {
		*r = make([]byte, n+n/64+1<<10)
	}
	return (*r)[:n]
}

// is has the buffer be the one that it became by growing.
func (r *reused) is(b []byte) { *r = b }
