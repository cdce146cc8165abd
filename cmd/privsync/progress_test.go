package main

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
)

func TestProgressIsLoggedEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stderr := testApp(nil)
		p := a.startProgress(nil)
		p.report("observe", 3, 100)
		time.Sleep(9 * time.Second)
		if stderr.Len() > 0 {
			t.Errorf("logged before ten seconds were over: %s", stderr)
		}
		p.report("observe", 50, 100)
		p.report("observe", 40, 100) // workers report out of order
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=progress phase=observe done=50 total=100 perSecond=5") {
			t.Errorf("after ten seconds: %s", got)
		}
		p.report("apply", 1, 5)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !strings.Contains(stderr.String(), "phase=apply done=1 total=5") {
			t.Errorf("the next phase: %s", stderr)
		}
		p.end()
		p.end()
		length := stderr.Len()
		time.Sleep(time.Minute)
		if stderr.Len() != length {
			t.Error("logged after its end")
		}
	})
}

// Where the rate is what limits, the first notice and every later one say so with an
// estimate; while nothing moves no remaining time is told, but for how long.
func TestProgressTellsWhatLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stderr := testApp(nil)
		told := func() string { a.stderr.mu.Lock(); defer a.stderr.mu.Unlock(); return stderr.String() }
		pace := mstrapi.Pace{Rate: 50}
		var mu sync.Mutex
		p := a.startProgress(func() mstrapi.Pace { mu.Lock(); defer mu.Unlock(); return pace })
		defer p.end()
		step := func(change func(*mstrapi.Pace), done int) string {
			mu.Lock()
			change(&pace)
			mu.Unlock()
			p.report("observe", done, 10000)
			synctest.Wait()
			before := len(told())
			time.Sleep(progressLogInterval)
			synctest.Wait()
			return told()[before:]
		}
		p.report("observe", 0, 0)
		p.report("observe", 0, 10000)
		want := `msg="the rate of requests alone makes this take a while" phase=observe requests=10000 atLeast=3m20s limit="--rate: 50 requests/s"`
		if got := told(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
			t.Errorf("the first notice: %s", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for _, c := range []struct {
			change func(*mstrapi.Pace)
			done   int
			want   string
			not    string
		}{
			{func(p *mstrapi.Pace) { p.Sent, p.Waited = 500, 450 }, 500, `done=500 total=10000 perSecond=50 remaining=3m10s limit="--rate: 50 requests/s"`, "nothing"},
			{func(p *mstrapi.Pace) { p.Sent, p.Waited = 1000, 470 }, 1000, "done=1000 total=10000 perSecond=50 remaining=3m0s", "limit"},
			{func(p *mstrapi.Pace) { p.Sent, p.Waited, p.Rate, p.Throttled = 1100, 570, 12.375, true }, 1100, `limit="the server asks to slow down: 12.4 requests/s"`, "nothing"},
			{func(p *mstrapi.Pace) { p.Throttled, p.Rate = false, 50 }, 1100, "nothingFor=1", "remaining"},
			{func(p *mstrapi.Pace) {}, 9999, "remaining=1s", "nothing"},
			{func(p *mstrapi.Pace) {}, 10000, "done=10000", "remaining"},
		} {
			if got := step(c.change, c.done); !strings.Contains(got, c.want) || strings.Contains(got, c.not) || strings.Contains(got, "remaining=0") {
				t.Errorf("want %q without %q: %s", c.want, c.not, got)
			}
		}
	})
	// What takes less than a look is not told, nor what no rate limits.
	for _, pace := range []mstrapi.Pace{{Rate: 50}, {}} {
		a, stderr := testApp(nil)
		p := a.startProgress(func() mstrapi.Pace { return pace })
		p.report("observe", 0, 499)
		p.end()
		if stderr.Len() > 0 {
			t.Errorf("%+v: %s", pace, stderr)
		}
	}
}

// A bar never says that no time is left while nothing moves.
func TestProgressBarEstimates(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		done, total int
		moved, now  time.Duration
		want        string
	}{
		{0, 100, 0, 5 * time.Second, "observe"},
		{0, 100, 0, 12 * time.Second, "observe, nothing for 12s"},
		{50, 100, 10 * time.Second, 10 * time.Second, "observe, 10s left"},
		{99, 100, 10 * time.Second, 10 * time.Second, "observe, 1s left"},
		{99, 100, 10 * time.Second, 32 * time.Second, "observe, nothing for 22s"},
		{100, 100, 10 * time.Second, 32 * time.Second, "observe"},
		{7, 0, 10 * time.Second, 11 * time.Second, "observe"},
	} {
		left, still := estimate(c.done, c.total, start, start.Add(c.moved), start.Add(c.now))
		if got := describe("observe", left, still, ""); got != c.want {
			t.Errorf("%d of %d, moved after %s, now %s: %q, want %q", c.done, c.total, c.moved, c.now, got, c.want)
		}
	}
}

func TestNoProgressWhereNoneIsWanted(t *testing.T) {
	for _, change := range []func(*app){func(a *app) { a.quiet = true }, func(a *app) { a.noProgress = true }} {
		a, _ := testApp(nil)
		change(a)
		p := a.startProgress(nil)
		if p != nil {
			t.Error("progress is shown")
		}
		p.report("observe", 1, 2)
		p.end()
	}
}
