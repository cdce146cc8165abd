package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
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

	mu    sync.Mutex // guards the rest
	phase string
	done  int
	total int
	since time.Time // the phase's start

	stop     chan struct{}
	finished chan struct{}
	once     sync.Once

	bar      *progressbar.ProgressBar // under a.stderr.mu
	barPhase string
}

// startProgress starts to show progress; end it before results are printed. It
// returns nil, whose methods do nothing, where no progress is wanted.
func (a *app) startProgress() *progress {
	if a.noProgress || a.quiet {
		return nil
	}
	p := &progress{
		a: a, stop: make(chan struct{}), finished: make(chan struct{}),
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
				p.show()
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase != p.phase {
		p.phase, p.done, p.since = phase, 0, p.a.now()
	}
	// Workers report out of order.
	p.done = max(p.done, done)
	p.total = total
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
	phase, done, total, since := p.phase, p.done, p.total, p.since
	p.mu.Unlock()
	if phase == "" {
		return
	}
	if !p.bars {
		seconds := p.a.now().Sub(since).Seconds()
		perSecond := 0.0
		if seconds > 0 {
			perSecond = float64(int(float64(done)/seconds*10)) / 10
		}
		p.a.log.Info("progress", "phase", phase, "done", done, "total", total, "perSecond", perSecond)
		return
	}
	p.a.stderr.mu.Lock()
	defer p.a.stderr.mu.Unlock()
	if p.bar == nil || p.barPhase != phase {
		p.clear()
		p.barPhase = phase
		if total <= 0 {
			total = -1
		}
		options := []progressbar.Option{
			progressbar.OptionSetWriter(p.a.stderr.w),
			progressbar.OptionSetDescription(phase),
			progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(phase != "command"),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		}
		// A metadata command tells percents, which have no count and no rate.
		if phase != "command" {
			options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts())
		}
		p.bar = progressbar.NewOptions(total, options...)
	}
	if total > 0 && p.bar.GetMax() != total {
		p.bar.ChangeMax(total)
	}
	_ = p.bar.Set(done) // a bar that cannot be drawn must not end a run
}

// clear removes the bar's line; a.stderr.mu is held.
func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
