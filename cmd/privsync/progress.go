package main

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"privsync/mstrapi"
	"privsync/panics"
)

const (
	progressLogInterval = 10 * time.Second
	progressBarInterval = 100 * time.Millisecond
)

// progress shows how far a run is: on a terminal a bar per phase, otherwise a
// log line every [progressLogInterval]. Its report method may be called from
// many goroutines and costs no more than a lock: showing is the work of one
// goroutine with a ticker.
type progress struct {
	a    *app
	bars bool

	pace func() mstrapi.Pace // nil: nobody knows it

	mu    sync.Mutex // guards the rest
	phase string
	done  int
	total int
	since time.Time // the phase's start
	moved time.Time // when done last grew
	noted string    // the phase whose estimate was told at its start

	shown mstrapi.Pace // at the last look, with when it was; used by the one goroutine
	limit string
	at    time.Time

	stop     chan struct{}
	finished chan struct{}
	once     sync.Once

	bar      *progressbar.ProgressBar // under a.stderr.mu
	barPhase string
	barText  string
}

// startProgress starts to show progress; end it before results are printed. It
// returns nil, whose methods do nothing, where no progress is wanted. pace tells what
// holds the requests back; it may be nil.
func (a *app) startProgress(pace func() mstrapi.Pace) *progress {
	if a.noProgress || a.quiet {
		return nil
	}
	p := &progress{
		a: a, pace: pace, stop: make(chan struct{}), finished: make(chan struct{}),
		bars: terminal(a.stderr) != nil && !a.jsonLogs() && !a.dumbTerminal(),
	}
	interval := progressLogInterval
	if p.bars {
		interval = progressBarInterval
		p.a.stderr.setClear(p.clear)
	}
	go func() {
		defer close(p.finished)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-ticker.C:
				if a.noteDefect(panics.Catch(func() error { p.show(); return nil })) {
					return
				}
			}
		}
	}()
	return p
}

// report notes that done of total items of the phase are finished; a total of 0
// or less means that it is not known yet.
func (p *progress) report(phase string, done, total int) {
	if p == nil {
		return
	}
	now := p.a.now()
	p.mu.Lock()
	if phase != p.phase {
		p.phase, p.done, p.since, p.moved = phase, 0, now, now
	}
	// Workers report out of order.
	if done > p.done {
		p.done, p.moved = done, now
	}
	p.total = total
	left := total - p.done
	ask := total > 0 && p.noted != phase && p.pace != nil && phase != commandPhase
	p.mu.Unlock()
	if !ask {
		return
	}
	rate := p.pace().Rate
	if rate <= 0 || float64(left)/rate < progressLogInterval.Seconds() {
		return
	}
	p.mu.Lock()
	first := p.noted != phase
	p.noted = phase
	p.mu.Unlock()
	if first {
		p.a.log.Info("the rate of requests alone makes this take a while", "phase", phase, "requests", left, "atLeast", wholeSeconds(left, rate), "limit", p.limitName(p.pace()))
	}
}

// commandPhase is the phase that tells percents: it has no count and no rate.
const commandPhase = "command"

// wholeSeconds returns how long n requests take at a rate, never 0.
func wholeSeconds(n int, perSecond float64) time.Duration {
	return max(time.Second, time.Duration(float64(n)/perSecond*float64(time.Second)).Round(time.Second))
}

// limitName says what limits the rate, and to how much.
func (p *progress) limitName(pace mstrapi.Pace) string {
	if pace.Throttled {
		return fmt.Sprintf("the server asks to slow down: %.1f requests/s", pace.Rate)
	}
	return fmt.Sprintf("--rate: %.4g requests/s", math.Round(pace.Rate*10)/10)
}

// limited returns what limited most requests since the last look, a second or more
// ago; "" if it is the server's own speed.
func (p *progress) limited(now time.Time) string {
	if p.pace == nil || !p.at.IsZero() && now.Sub(p.at) < time.Second {
		return p.limit
	}
	pace := p.pace()
	sent, waited := pace.Sent-p.shown.Sent, pace.Waited-p.shown.Waited
	p.shown, p.at, p.limit = pace, now, ""
	if sent > 0 && 2*waited > sent && pace.Rate > 0 || sent == 0 && pace.Throttled {
		p.limit = p.limitName(pace)
	}
	return p.limit
}

// estimate says how a phase goes on: how much time is left, or that it stands still;
// both are 0 where nobody can know.
func estimate(done, total int, since, moved, now time.Time) (left, still time.Duration) {
	if total > 0 && done >= total {
		return 0, 0
	}
	if quiet := now.Sub(moved); quiet >= progressLogInterval {
		return 0, quiet.Round(time.Second)
	}
	if run := now.Sub(since).Seconds(); done > 0 && done < total && run >= 1 {
		left = wholeSeconds(total-done, float64(done)/run)
	}
	return left, 0
}

// end removes the bar and stops the goroutine. It may be called twice.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		close(p.stop)
		<-p.finished
		if p.bars {
			p.a.stderr.setClear(nil)
		}
	})
}

func (p *progress) show() {
	p.mu.Lock()
	phase, done, total, since, moved := p.phase, p.done, p.total, p.since, p.moved
	p.mu.Unlock()
	if phase == "" {
		return
	}
	now := p.a.now()
	left, still := estimate(done, total, since, moved, now)
	limit := p.limited(now)
	if !p.bars {
		seconds := now.Sub(since).Seconds()
		perSecond := 0.0
		if seconds > 0 {
			perSecond = float64(int(float64(done)/seconds*10)) / 10
		}
		attrs := []any{"phase", phase, "done", done, "total", total, "perSecond", perSecond}
		if left > 0 {
			attrs = append(attrs, "remaining", left)
		}
		if still > 0 {
			attrs = append(attrs, "nothingFor", still)
		}
		if limit != "" {
			attrs = append(attrs, "limit", limit)
		}
		p.a.log.Info("progress", attrs...)
		return
	}
	p.a.stderr.mu.Lock()
	defer p.a.stderr.mu.Unlock()
	if p.bar == nil || p.barPhase != phase {
		p.clear()
		p.barPhase, p.barText = phase, ""
		if total <= 0 {
			total = -1
		}
		options := []progressbar.Option{
			progressbar.OptionSetWriter(p.a.stderr.w),
			progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(false), // it says 0s where nothing moves
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		}
		if phase != commandPhase {
			options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts())
		}
		p.bar = progressbar.NewOptions(total, options...)
	}
	if total > 0 && p.bar.GetMax() != total {
		p.bar.ChangeMax(total)
	}
	if text := describe(phase, left, still, limit); text != p.barText {
		p.barText = text
		p.bar.Describe(text)
	}
	_ = p.bar.Set(done) // a bar that cannot be drawn must not end a run
}

// describe is what stands before a bar.
func describe(phase string, left, still time.Duration, limit string) string {
	text := phase
	switch {
	case still > 0:
		text += fmt.Sprintf(", nothing for %s", still)
	case left > 0:
		text += fmt.Sprintf(", %s left", left)
	}
	if limit != "" {
		text += " (" + limit + ")"
	}
	return text
}

// clear removes the bar's line; a.stderr.mu is held.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
