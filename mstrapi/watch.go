package mstrapi

import (
	"sync"
	"time"
)

// A watch notices that requests are under way and none is answered, while that goes
// on. The zero value watches nothing; its methods may be called concurrently.
type watch struct {
	tell func(silent time.Duration, waiting int) // called at most once in awayEvery

	mu    sync.Mutex
	n     int       // requests under way
	since time.Time // the last answer, or the start of the first of them
	timer *time.Timer
	armed bool
}

// enter is told that a request is sent.
func (w *watch) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n++; w.n == 1 {
		w.since = time.Now()
	}
	if w.armed || w.tell == nil {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(awayEvery, w.look)
		return
	}
	w.timer.Reset(awayEvery)
}

// leave is told that a request has ended, well or not.
func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.since = time.Now()
}

// look is what the timer does.
func (w *watch) look() {
	w.mu.Lock()
	if !w.armed || w.n == 0 {
		w.armed = false
		w.mu.Unlock()
		return
	}
	silent, waiting, tell := time.Since(w.since), w.n, w.tell
	again := awayEvery
	if silent < awayEvery {
		again -= silent
	}
	w.timer.Reset(again)
	w.mu.Unlock()
	if silent >= awayEvery {
		tell(silent, waiting)
	}
}

// stop ends the watch.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.tell = false, nil
	if w.timer != nil {
		w.timer.Stop()
	}
}

// Pace is what holds the requests of a client back.
type Pace struct {
	Sent, Waited int64   // requests so far, and those of them that had to wait for their turn
	Rate         float64 // requests per second that are allowed now; 0: no limit
	Throttled    bool    // the rate is lower than configured, because the server asked for that
}

// Pace returns what holds requests back now.
func (r *Reader) Pace() Pace {
	p := Pace{Sent: r.c.requests.Load(), Waited: r.c.pace.waited.Load(), Throttled: r.c.pace.slowed.Load()}
	if limit := r.c.pace.limiter.Limit(); p.Throttled || r.c.cfg.Rate > 0 {
		p.Rate = float64(limit)
	}
	return p
}
