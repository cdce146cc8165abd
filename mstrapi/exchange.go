package mstrapi

import (
	"context"
	"net/http/httptrace"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstBody is the size of a new body buffer; keepBody is the largest that is
	// kept for the next request.
	firstBody = 16 << 10
	keepBody  = 256 << 10
)

// An exchange is what an attempt needs and a later one can use again: a context
// that ends with the caller's or when the attempt takes too long, what the
// transport tells of its connection, and memory for the body. To make all of it
// anew is a good part of what a request costs.
type exchange struct {
	caller context.Context // ctx ends with it; nil: it cannot be compared with another
	ctx    context.Context
	end    context.CancelFunc // of ctx
	timer  *time.Timer        // calls end
	body   []byte

	resend     func()       // called when the transport sends the request once more by itself
	asked, got atomic.Int32 // connections asked for and obtained
}

// newExchange returns an exchange for attempts of ctx; its time runs.
func newExchange(ctx context.Context, timeout time.Duration, body []byte) *exchange {
	x := &exchange{body: body}
	if reflect.ValueOf(ctx).Comparable() {
		x.caller = ctx
	}
	x.ctx, x.end = context.WithCancel(ctx)
	x.timer = time.AfterFunc(timeout, x.end)
	x.ctx = httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		GetConn: func(string) { x.asked.Add(1) },
		GotConn: func(httptrace.GotConnInfo) {
			// The transport repeats a read by itself when a kept connection turns out
			// to be closed.
			if x.got.Add(1) > 1 {
				x.resend()
			}
		},
	})
	return x
}

// exchanges keeps those that can be used again, at most keep. The zero value
// keeps none.
type exchanges struct {
	keep int
	mu   sync.Mutex
	idle []*exchange // the last used is the last
}

// take returns an exchange for one attempt of ctx, which may last for timeout.
func (xs *exchanges) take(ctx context.Context, timeout time.Duration) *exchange {
	xs.mu.Lock()
	var x *exchange
	if n := len(xs.idle); n > 0 {
		x = xs.idle[n-1]
		xs.idle[n-1] = nil
		xs.idle = xs.idle[:n-1]
	}
	xs.mu.Unlock()
	if x == nil {
		return newExchange(ctx, timeout, make([]byte, 0, firstBody))
	}
	if x.caller != ctx {
		x.end()
		return newExchange(ctx, timeout, x.body)
	}
	x.asked.Store(0)
	x.got.Store(0)
	x.timer.Reset(timeout)
	return x
}

// put takes back an exchange. Nobody may use it any more, nor its body; whole
// says that this holds for the transport as well: the answer was read to its end.
func (xs *exchanges) put(x *exchange, whole bool) {
	x.resend = nil
	if !x.timer.Stop() || !whole {
		x.end()
		return
	}
	if cap(x.body) > keepBody {
		x.body = make([]byte, 0, firstBody)
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	if len(xs.idle) >= xs.keep {
		x.end()
		return
	}
	xs.idle = append(xs.idle, x)
}

// drop ends those that are kept.
func (xs *exchanges) drop() {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	for _, x := range xs.idle {
		x.end()
	}
	xs.idle, xs.keep = nil, 0
}
