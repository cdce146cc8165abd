//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// measureOverhead compares what it takes to plan (requests, decoding, deciding)
// with a bare client that sends the same requests over the same kind of
// connections and throws the bodies away. Both run in this process, one after
// the other, against a simulator in another.
func measureOverhead(ctx context.Context, b *bench) error {
	const concurrency = 32
	s := scene{Users: b.scale(10_000, 1000), Stray: b.scale(1000, 100)}
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	pol, err := policy.Parse("policy.yaml", []byte(s.listPolicy(withSets)))
	if err != nil {
		return err
	}
	pairs := b.scale(7, 1)
	var ratios, perCPU, simulated []float64
	var mine, bare float64
	worst := int64(0)
	for i := range pairs + 1 {
		var m, r spent
		for _, first := range []bool{i%2 == 0, i%2 != 0} {
			if first {
				m, err = timed(sim, func() error { return planOnce(ctx, sim.url, concurrency, pol) })
				worst = max(worst, m.connections)
			} else {
				r, err = timed(sim, func() error { return replay(ctx, sim.url, concurrency, s) })
			}
			if err != nil {
				return err
			}
		}
		if i == 0 && !b.short {
			continue // the first pair warms up
		}
		ratios = append(ratios, m.perSecond()/r.perSecond())
		perCPU = append(perCPU, float64(m.requests)/m.own.Seconds())
		simulated = append(simulated, float64(m.requests)/m.other.Seconds())
		mine, bare = m.perSecond(), r.perSecond()
	}
	b.atLeast("throughput against a bare client", median(ratios), "×", 0.45,
		fmt.Sprintf("median of %d pairs (%s); the last: %.0f/s against %.0f/s", len(ratios), spread(ratios), mine, bare))
	b.atMost("new connections", float64(worst), "", concurrency, "")
	client, server := median(perCPU), median(simulated)
	b.report("privsync sends", client, "requests/s of CPU", "plan: requests, decoding, deciding")
	b.atLeast("the simulator serves", server, "requests/s of CPU", client, "it must not be what limits")
	return nil
}

// spent is what some requests took.
type spent struct {
	requests, connections int64
	wall, own, other      time.Duration // other: CPU time of the simulator
}

func (s spent) perSecond() float64 { return float64(s.requests) / s.wall.Seconds() }

func timed(sim *simulator, work func() error) (spent, error) {
	if err := sim.reset(); err != nil {
		return spent{}, err
	}
	cpu, start := ownCPU(), time.Now()
	err := work()
	s := spent{wall: time.Since(start), own: ownCPU() - cpu}
	if err != nil {
		return s, err
	}
	stats, err := sim.stats()
	s.requests, s.connections, s.other = stats.Requests, stats.Connections, stats.CPU
	return s, err
}

// planOnce is a plan from login to logout.
func planOnce(ctx context.Context, url string, concurrency int, pol *policy.Policy) error {
	r, err := mstrapi.OpenReader(ctx, config(url, concurrency))
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	st, err := planner.Observe(ctx, r, pol, planner.ObserveOptions{URL: r.URL(), Concurrency: concurrency})
	if err != nil {
		return err
	}
	plan := planner.Make(pol, st, planner.MakeOptions{})
	if !plan.Complete {
		return fmt.Errorf("the plan is incomplete: %s", plan.Findings[0].Message)
	}
	return nil
}

// replay sends what [planOnce] sends for a policy that lists every user, with a
// bare client.
func replay(ctx context.Context, url string, concurrency int, s scene) error {
	transport := bareTransport(concurrency)
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	login, err := http.NewRequestWithContext(ctx, "POST", url+"/api/auth/login",
		strings.NewReader(fmt.Sprintf(`{"loginMode":1,"username":%q,"password":%q}`, config("", 1).Username, config("", 1).Password.Reveal())))
	if err != nil {
		return err
	}
	login.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(login)
	if err != nil {
		return err
	}
	resp.Body.Close()
	header := make(http.Header)
	header.Set("Accept", "application/json")
	header.Set("X-MSTR-AuthToken", resp.Header.Get("X-MSTR-AuthToken"))
	var cookies []string
	for _, k := range resp.Cookies() {
		cookies = append(cookies, k.Name+"="+k.Value)
	}
	header.Set("Cookie", strings.Join(cookies, "; "))
	send := func(method, path string) error {
		req, err := http.NewRequestWithContext(ctx, method, url+path, nil)
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	paths := []string{"/api/status", "/api/sessions/userInfo", "/api/iserver/privileges", "/api/sessions/privileges/50"}
	for offset := 0; offset < s.allUsers(); offset += 1000 {
		paths = append(paths, fmt.Sprintf("/api/users?fields=id,name,abbreviation,username,enabled&offset=%d&limit=1000", offset))
	}
	for n := range s.Users {
		paths = append(paths, "/api/users/"+string(userID(n+1))+"/privileges?privilege.level=server")
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range concurrency {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(paths)) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := send("GET", paths[i]); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return send("POST", "/api/auth/logout")
}

// bareTransport has the settings of privsync's own.
func bareTransport(concurrency int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:     (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxConnsPerHost: concurrency, MaxIdleConns: concurrency, MaxIdleConnsPerHost: concurrency,
		IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 256 << 10, Protocols: &protocols,
	}
}

// measureProgress compares the CPU time of plans that show a bar on a terminal,
// and that log, with plans that show nothing.
func measureProgress(ctx context.Context, b *bench) error {
	const concurrency = 32
	s := scene{Users: b.scale(10_000, 1000)}
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	path, err := b.file("progress.yaml", s.listPolicy(withSets))
	if err != nil {
		return err
	}
	tty, done, err := terminal()
	if err != nil {
		return err
	}
	defer done()
	var bar, lines []float64
	for range b.scale(7, 1) {
		var took [3]time.Duration
		for i, v := range []invocation{
			{url: sim.url, args: b.planArgs(concurrency, path, "--no-progress")},
			{url: sim.url, args: b.planArgs(concurrency, path), err: tty},
			{url: sim.url, args: b.planArgs(concurrency, path)},
		} {
			u, err := b.launch(ctx, v)
			if err != nil {
				return err
			}
			took[i] = u.cpu
		}
		bar = append(bar, float64(took[1])/float64(took[0]))
		lines = append(lines, float64(took[2])/float64(took[0]))
	}
	b.atMost("a bar on a terminal, against none", median(bar), "×", 1.05, fmt.Sprintf("CPU time, median of %d pairs (%s)", len(bar), spread(bar)))
	b.atMost("log lines, against none", median(lines), "×", 1.05, fmt.Sprintf("CPU time, median of %d pairs (%s)", len(lines), spread(lines)))
	return nil
}

// terminal returns a terminal whose output nobody looks at.
func terminal() (*os.File, func(), error) {
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	tty, err := otherEnd(ctrl)
	if err != nil {
		ctrl.Close()
		return nil, nil, err
	}
	go io.Copy(io.Discard, ctrl)
	return tty, func() { tty.Close(); ctrl.Close() }, nil
}
