package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsLoggedEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stderr := testApp(nil)
		p := a.startProgress()
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

func TestNoProgressWhereNoneIsWanted(t *testing.T) {
	for _, change := range []func(*app){func(a *app) { a.quiet = true }, func(a *app) { a.noProgress = true }} {
		a, _ := testApp(nil)
		change(a)
		p := a.startProgress()
		if p != nil {
			t.Error("progress is shown")
		}
		p.report("observe", 1, 2)
		p.end()
	}
}
