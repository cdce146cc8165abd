package mstrapi

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceShare is the part of the configured rate that is used: the rest absorbs
	// requests that a busy scheduler sends late, right before punctual ones.
	paceShare = 0.99
	// burstShare of a second's requests may be sent at once.
	burstShare = 0.1
	// cutEvery is the least time between two cuts: answers to requests that were
	// already under way say nothing about the rate after a cut.
	cutEvery = time.Second
	// raiseEvery is the time after which a cut rate grows by one step.
	raiseEvery = time.Second
	// raiseSteps brings the slowest rate back to the configured one.
	raiseSteps = 20
	// slowestShare of the full rate is never undercut.
	slowestShare = 0.05
	// hurryMost is the longest that a logout waits for its turn.
	hurryMost = 2 * time.Second
)

// A pacer decides when the next request may be sent. It counts every request,
// logins and retries too. Two things slow it down: a pause, for everyone, until
// a moment; and a rate, which halves when the server says it is too much and
// grows back while it does not.
type pacer struct {
	limiter *rate.Limiter
	full    rate.Limit // rate.Inf without a limit
	start   time.Time  // origin of pausedUntil: time.Since(start) is monotonic
	log     *slog.Logger

	pausedUntil atomic.Int64 // nanoseconds after start; 0: never paused
	slowed      atomic.Bool  // the limiter is below full
	waited      atomic.Int64 // requests that had to wait for their turn

	mu        sync.Mutex // guards what follows, and changes of the limiter
	lastCut   time.Time
	told      time.Time // when a person was last told that it is slowed, or it began to be
	lastRaise time.Time
	second    time.Time // start of the second that now counts; used without a limit
	now, prev int       // requests in that second and the one before
	peak      float64   // highest rate seen when the server objected; used without a limit
}

// newPacer returns a pacer for perSecond requests per second; 0 is no limit. It
// tells log, at level debug, how the rate changes.
func newPacer(perSecond float64, log *slog.Logger) *pacer {
	p := &pacer{full: rate.Inf, start: time.Now(), log: log}
	burst := 1
	if perSecond > 0 {
		p.full = rate.Limit(perSecond * paceShare)
		burst = max(1, int(perSecond*burstShare))
	}
	p.limiter = rate.NewLimiter(p.full, burst)
	return p
}

// wait blocks until the next request may be sent, or ctx ends; then it returns
// ctx's cause. With hurry, pauses do not count and the wait is short: a logout
// has little time, behind workers that may have given up their turns.
func (p *pacer) wait(ctx context.Context, hurry bool) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !hurry {
			if d := p.pauseLeft(); d > 0 {
				if err := Sleep(ctx, d); err != nil {
					return err
				}
				continue
			}
		}
		if p.full != rate.Inf || p.slowed.Load() {
			if err := p.turn(ctx, hurry); err != nil {
				return err
			}
		}
		if hurry || p.pauseLeft() <= 0 {
			p.count()
			return nil
		}
	}
}

// turn waits for the limiter.
func (p *pacer) turn(ctx context.Context, hurry bool) error {
	// Limiter.Wait gives up early when the deadline is near, with an error that is
	// not the context's.
	r := p.limiter.Reserve()
	d := r.Delay()
	if d <= 0 {
		return nil
	}
	p.waited.Add(1)
	if hurry {
		d = min(d, hurryMost)
	}
	if err := Sleep(ctx, d); err != nil {
		r.Cancel()
		return err
	}
	return nil
}

// resent counts a request that the transport sent a second time by itself. It
// cannot wait any more, so the ones after it do.
func (p *pacer) resent() {
	p.limiter.Reserve()
	p.count()
}

// count notes one request, to know the rate when there is no limit to start from.
func (p *pacer) count() {
	if p.full != rate.Inf {
		return
	}
	t := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := t.Sub(p.second); d >= 2*time.Second {
		p.second, p.prev, p.now = t, 0, 0
	} else if d >= time.Second {
		p.second, p.prev, p.now = t, p.now, 0
	}
	p.now++
}

// pauseLeft returns how long everyone still has to wait; 0 or less: not at all.
func (p *pacer) pauseLeft() time.Duration {
	until := p.pausedUntil.Load()
	if until == 0 {
		return 0
	}
	return time.Duration(until) - time.Since(p.start)
}

// slowDown makes everyone wait for d, and halves the rate.
func (p *pacer) slowDown(d time.Duration) {
	t := time.Now()
	until := int64(t.Sub(p.start) + d)
	for {
		old := p.pausedUntil.Load()
		if old >= until || p.pausedUntil.CompareAndSwap(old, until) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch slowed := p.slowed.Load(); {
	case !slowed:
		p.told = t
	case d < awayEvery && t.Sub(p.told) >= awayEvery:
		p.told = t
		p.log.LogAttrs(context.Background(), slog.LevelInfo, "the server asks to slow down, again and again", slog.Duration("pause", d.Round(time.Millisecond)),
			slog.Float64("rate", math.Round(10*float64(p.limiter.Limit()))/10))
	}
	if p.slowed.Load() && t.Sub(p.lastCut) < cutEvery {
		return
	}
	current := float64(p.limiter.Limit())
	if p.full == rate.Inf {
		if !p.slowed.Load() {
			current = float64(max(p.now, p.prev, 2))
		}
		p.peak = max(p.peak, current)
	}
	p.limiter.SetLimit(rate.Limit(max(current/2, p.slowest())))
	p.logRate("rate lowered", current, slog.Duration("pause", d))
	p.slowed.Store(true)
	p.lastCut = t
	p.lastRaise = t.Add(d) // a pause proves nothing
}

// slowest returns the rate that is never undercut: one request per second, or
// the share of a high rate, or all of a rate lower than that.
func (p *pacer) slowest() float64 {
	full := p.peak
	if p.full != rate.Inf {
		full = float64(p.full)
	}
	return min(max(1, full*slowestShare), full)
}

// succeeded lets a cut rate grow back.
func (p *pacer) succeeded() {
	if !p.slowed.Load() {
		return
	}
	t := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.Sub(p.lastRaise) < raiseEvery {
		return
	}
	p.lastRaise = t
	current := p.limiter.Limit()
	before := float64(current)
	if p.full == rate.Inf {
		// Nothing says where the limit is: grow by a part, and let go well above
		// the rate at which the server objected.
		if current *= 1.25; float64(current) > 2*p.peak {
			current = rate.Inf
		}
	} else {
		current += p.full / raiseSteps
	}
	if current >= p.full {
		current = p.full
		p.slowed.Store(false)
		p.peak = 0
	}
	p.limiter.SetLimit(current)
	p.logRate("rate raised", before)
}

// logRate tells of a changed rate, in requests per second; p.mu is held.
func (p *pacer) logRate(message string, from float64, attrs ...slog.Attr) {
	if !p.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs = append([]slog.Attr{slog.Float64("from", from), slog.Float64("to", float64(p.limiter.Limit()))}, attrs...)
	p.log.LogAttrs(context.Background(), slog.LevelDebug, message, attrs...)
}

// Sleep waits for d or until ctx ends; then it returns ctx's cause.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
