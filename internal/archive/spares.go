package archive

// spares are buffers that are used again, as many as fit. A segment has tens of megabytes, and that the kernel makes so
// much fresh memory, and clears it, takes longer than what is computed of it. nil: each buffer is a fresh one.
type spares chan []byte

// get returns a buffer of this length. What is in it is undefined.
func (s spares) get(n int64) []byte {
	select {
	case b := <-s:
		if int64(cap(b)) >= n {
			return b[:n]
		}
	default:
	}
	return make([]byte, n)
}

// put takes a buffer that nobody uses any more.
func (s spares) put(b []byte) {
	select {
	case s <- b:
	default:
	}
}

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
