package executor

import "sync"

// counter counts what concurrent workers have done and tells it, one call at a
// time and in order.
type counter struct {
	mu   sync.Mutex // guards n, and is held while tell runs
	n    int
	tell func(int)
}

func newCounter(tell func(int)) *counter { return &counter{tell: tell} }

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.tell(c.n)
}
