package executor

import (
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"privsync/panics"
)

// concurrently does the work on each of list, so many at once, and returns when all of
// it has ended.
func concurrently[T any](most int, list iter.Seq[T], work func(T)) {
	var g errgroup.Group
	g.SetLimit(most)
	for x := range list {
		panics.Go(&g, func() error {
			work(x)
			return nil
		})
	}
	panics.Again(g.Wait()) // there is no other error: one principal never stops another
}

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
