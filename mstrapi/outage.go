package mstrapi

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// ErrUnreachable is matched by errors that say: the server has not answered
// anything usable for so long, and so often, that the client has given it up.
// Every further request of the client but its logout fails with it at once.
var ErrUnreachable = errors.New("the server has stopped answering")

const (
	// A client gives the server up when a request fails for good and, since the
	// last usable answer to any request, outageWeight has come together and
	// outageLeast has passed. A server that restarts within that time costs the
	// requests of that time only; random faults never come near the weight.
	outageLeast  = time.Minute
	outageWeight = 600
	// deadWeight is that of an attempt without an answer, or with that of a
	// gateway whose server is gone: 24 of them in a row.
	deadWeight = 25
	// wrongWeight is that of another attempt without a usable answer, which may be
	// the fault of what was asked for: 600 of them in a row.
	wrongWeight = 1
)

// An outage notices that the server is gone, so that no run spends all attempts
// of each of its requests on it. Methods may be called concurrently.
type outage struct {
	start  time.Time    // origin of answered: time.Since(start) is monotonic
	weight atomic.Int64 // of the failures since the last usable answer
	last   atomic.Int64 // nanoseconds after start: the last usable answer
	since  atomic.Int64 // nanoseconds after start: the start of the first of these failures
	told   atomic.Int64 // nanoseconds after start: when awayFor last said so
	over   atomic.Value // error: why the server was given up; empty: it was not
}

func newOutage() *outage { return &outage{start: time.Now()} }

// err returns an error that matches [ErrUnreachable] when the server was given
// up.
func (o *outage) err() error {
	err, _ := o.over.Load().(error)
	return err
}

// answered is told of a usable answer: a success, or a refusal that the server
// means.
func (o *outage) answered() {
	o.last.Store(int64(time.Since(o.start)))
	if o.weight.Load() != 0 {
		o.weight.Store(0)
	}
}

// failed is told of an attempt that began at began and was not successful; final says
// that it was the request's last. It reports whether the server is given up now.
func (o *outage) failed(e *Error, began time.Time, final bool) bool {
	w := weigh(e)
	if w == 0 {
		o.answered()
		return false
	}
	total := o.weight.Add(w)
	if total == w {
		o.since.Store(int64(began.Sub(o.start)))
	}
	silent := time.Since(o.start) - time.Duration(o.last.Load())
	if !final || total < outageWeight || silent < outageLeast {
		return false
	}
	return o.over.CompareAndSwap(nil, fmt.Errorf("%w: no usable answer for %s; the last attempt: %s",
		ErrUnreachable, silent.Round(time.Second), clip(e.Error(), messageLimit)))
}

// awayEvery is how long the server has to be away before a person is told, and how
// often then.
const awayEvery = 10 * time.Second

// awayFor returns for how long there was no usable answer, once in awayEvery; 0:
// there is nothing to tell.
func (o *outage) awayFor() time.Duration {
	if o.weight.Load() == 0 {
		return 0
	}
	away := time.Since(o.start) - time.Duration(o.since.Load())
	if away < awayEvery || !o.mayTell() {
		return 0
	}
	return away
}

// mayTell reports whether a person may be told now: once in awayEvery.
func (o *outage) mayTell() bool {
	now, told := int64(time.Since(o.start)), o.told.Load()
	return (told == 0 || now-told >= int64(awayEvery)) && o.told.CompareAndSwap(told, now)
}

// weigh says how much an attempt speaks for an outage; 0: it speaks against it.
func weigh(e *Error) int64 {
	switch e.Status {
	case 0, http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return deadWeight
	}
	if e.Status/100 == 2 || e.Status/100 == 3 || e.Status == http.StatusTooManyRequests || e.Status >= 500 {
		return wrongWeight
	}
	return 0
}
