//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

// measureWall applies a policy on a slow server: the wall time of the whole
// program, from its start to its exit, against the time that so many requests
// need at least when so many are under way at once.
func measureWall(ctx context.Context, b *bench) error {
	const concurrency = 32
	s := scene{Users: b.scale(10_000, 1000), Stray: b.scale(1000, 100), Latency: 20 * time.Millisecond}
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	path, err := b.file("wall.yaml", s.listPolicy(withSets))
	if err != nil {
		return err
	}
	if _, err := b.privsync(ctx); err != nil {
		return err
	}
	run := func(name string, work func() (time.Duration, error)) (float64, string, error) {
		if err := sim.reset(); err != nil {
			return 0, "", err
		}
		took, err := work()
		if err != nil {
			return 0, "", err
		}
		stats, err := sim.stats()
		if err != nil {
			return 0, "", err
		}
		if stats.Connections > concurrency {
			return 0, "", fmt.Errorf("%s: %d new connections, want at most %d", name, stats.Connections, concurrency)
		}
		least := time.Duration(float64(stats.Requests) * float64(stats.Latency) / concurrency)
		return float64(took) / float64(least), fmt.Sprintf("%s for %d requests of %.1f ms, %d at once: at least %s", seconds(took), stats.Requests,
			float64(stats.Latency)/float64(time.Millisecond), concurrency, seconds(least)), nil
	}
	launch := func(args []string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			u, err := b.launch(ctx, invocation{url: sim.url, args: args})
			return u.wall, err
		}
	}
	// What this machine adds to any client's requests.
	ratio, detail, err := run("bare client", func() (time.Duration, error) {
		start := time.Now()
		err := replay(ctx, sim.url, concurrency, s)
		return time.Since(start), err
	})
	if err != nil {
		return err
	}
	b.report("a bare client, for comparison", ratio, "×", detail)
	name := fmt.Sprintf("plan, N = %d", s.Users)
	if ratio, detail, err = run(name, launch(b.planArgs(concurrency, path, "--no-progress"))); err != nil {
		return err
	}
	b.atMost(name, ratio, "×", 1.10, detail)
	// Whatever else the machine does makes a run longer, never shorter.
	name = fmt.Sprintf("apply, N = %d, C = %d, best of 2", s.Users, s.Stray)
	best, detail := 0.0, ""
	for i := range 2 {
		ratio, text, err := run(name, launch(b.applyArgs(concurrency, "-f", path)))
		if err != nil {
			return err
		}
		if err := sim.restore(); err != nil {
			return err
		}
		if i == 0 || ratio < best {
			best, detail = ratio, text
		}
	}
	b.atMost(name, best, "×", 1.10, detail)
	return nil
}

// measureRate plans with --rate R and looks at when the requests came.
func measureRate(ctx context.Context, b *bench) error {
	const perSecond = 200
	const burst = perSecond / 10
	s := scene{Users: b.scale(2400, 600), Times: true, Latency: 5 * time.Millisecond}
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	path, err := b.file("rate.yaml", s.listPolicy(withShort))
	if err != nil {
		return err
	}
	args := []string{"plan", "-f", path, "--concurrency", "16", "--rate", strconv.Itoa(perSecond)}
	if _, err := b.launch(ctx, invocation{url: sim.url, args: args}); err != nil {
		return err
	}
	stats, err := sim.stats()
	if err != nil {
		return err
	}
	times := stats.Times
	if len(times) <= burst+1 {
		return fmt.Errorf("%d requests are too few", len(times))
	}
	// The burst at the start is no rate.
	steady := times[burst:]
	rate := float64(len(steady)-1) / time.Duration(steady[len(steady)-1]-steady[0]).Seconds()
	detail := fmt.Sprintf("--rate %d, %d requests", perSecond, len(times))
	b.atLeast("measured rate", rate, "/s", 0.98*perSecond, detail)
	b.atMost("measured rate", rate, "/s", perSecond, detail)
	b.atMost("most in any second", float64(mostInWindow(times, time.Second)), "", perSecond+burst, fmt.Sprintf("burst of %d included", burst))
	return nil
}

// mostInWindow returns the most of the ascending times, in nanoseconds, that
// lie in any window of the length.
func mostInWindow(times []int64, window time.Duration) int {
	most, from := 0, 0
	for to, t := range times {
		for t-times[from] >= int64(window) {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// spread returns the relative distance of the smallest and largest value from
// the median.
func spread(list []float64) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range list {
		low, high = min(low, v), max(high, v)
	}
	return fmt.Sprintf("%.2f to %.2f", low, high)
}
