//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// limits of the peak resident memory, in MiB: where the policy reaches everybody
// through groups, a selector or a short list, and where it lists them one by one.
const (
	smallPeak = 256
	largePeak = 512
)

// measureGrowth plans for ever more principals.
func measureGrowth(ctx context.Context, b *bench) error {
	const concurrency = 32
	var before usage
	for i, users := range []int{b.scale(1000, 200), b.scale(10_000, 1000), b.scale(100_000, 5000)} {
		s := scene{Users: users, Stray: users / 100}
		sim, err := startSimulator(ctx, s)
		if err != nil {
			return err
		}
		u, err := b.planPolicy(ctx, sim, concurrency, s.listPolicy(withSets))
		sim.stop()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("plan, %d principals", users)
		b.report(name, u.cpu.Seconds(), "s of CPU", fmt.Sprintf("%.0f µs for each, wall %s", u.cpu.Seconds()*1e6/float64(users), seconds(u.wall)))
		b.report(name, u.mib(), "MiB", "peak resident memory")
		if i > 0 {
			// Ten times the principals; a tenth more is noise.
			factor := float64(users) / float64(b.scale(1000, 200))
			if i == 2 {
				factor = float64(users) / float64(b.scale(10_000, 1000))
			}
			b.atMost(name+", against fewer", u.cpu.Seconds()/before.cpu.Seconds(), "×", factor*1.1, "CPU time; linear is "+number(factor)+"×")
			b.atMost(name+", against fewer", float64(u.peak)/float64(before.peak), "×", factor*1.1, "memory")
		}
		before = u
	}
	return nil
}

// planPolicy plans a policy.
func (b *bench) planPolicy(ctx context.Context, sim *simulator, concurrency int, text string) (usage, error) {
	path, err := b.file("policy.yaml", text)
	if err != nil {
		return usage{}, err
	}
	return b.launch(ctx, invocation{url: sim.url, args: b.planArgs(concurrency, path)})
}

// measureMemory plans and applies policies that reach very many principals in
// different ways.
func measureMemory(ctx context.Context, b *bench) error {
	const concurrency = 32
	s := scene{Users: b.scale(100_000, 2000), Stray: b.scale(1000, 20)}
	few := scene{Users: s.Users * 7 / 10, Stray: s.Stray * 7 / 10} // as many as a policy may write out
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	for _, c := range []struct {
		name    string
		policy  string
		limit   float64
		changed string
	}{
		{"through a selector", selectorPolicy(), smallPeak, fmt.Sprintf("%d users", s.Stray)},
		{"through a changed group and a rule", ruledPolicy(), smallPeak, "1 group"},
		{"a short list, unlisted: report", unlistedPolicy(10), smallPeak, "1 user"},
		{"one by one, sets", s.listPolicy(withSets), largePeak, fmt.Sprintf("%d users", s.Stray)},
		{"one by one, a set and an own privilege", s.listPolicy(withBoth), largePeak, fmt.Sprintf("%d users", s.Stray)},
		{"70 % of them one by one, 60 own privileges each", few.listPolicy(withOwn), largePeak, fmt.Sprintf("%d users", few.Stray)},
	} {
		u, err := b.planPolicy(ctx, sim, concurrency, c.policy)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		detail := fmt.Sprintf("%d users × %d privileges, %s", s.Users, heldPrivileges, seconds(u.wall))
		b.atMost("plan, "+c.name, u.mib(), "MiB", c.limit, detail)
		u, err = b.launch(ctx, invocation{url: sim.url, args: b.applyArgs(concurrency, "-f", filepath.Join(b.dir, "policy.yaml"))})
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.atMost("apply, "+c.name, u.mib(), "MiB", c.limit, fmt.Sprintf("%d users, %s changed, %s", s.Users, c.changed, seconds(u.wall)))
		if err := sim.restore(); err != nil {
			return err
		}
	}
	return nil
}

// A step is one command, and the file that it writes or reads.
type step struct {
	name string
	file string
	v    invocation
}

// measureDocuments saves a plan that changes everybody, shows it, applies it and
// shows the report; then it audits fewer, for an audit names every source of every
// privilege.
func measureDocuments(ctx context.Context, b *bench) error {
	const concurrency = 32
	path, err := b.file("policy.yaml", selectorPolicy())
	if err != nil {
		return err
	}
	saved, report := filepath.Join(b.dir, "plan.json"), filepath.Join(b.dir, "report.json")
	err = b.documents(ctx, b.scale(100_000, 1000), func(url string) []step {
		return []step{
			{"plan --out", saved, invocation{url: url, args: b.planArgs(concurrency, path, "--out", saved)}},
			{"show the plan", saved, invocation{args: []string{"show", saved}}},
			{"apply the plan", report, invocation{url: url, args: b.applyArgs(concurrency, saved)}},
			{"show the report", report, invocation{args: []string{"show", report}}},
		}
	})
	if err != nil {
		return err
	}
	return b.documents(ctx, b.scale(10_000, 100), func(url string) []step {
		args := []string{"audit", "--rate", "0", "--concurrency", strconv.Itoa(concurrency), "-f", path, "--report", report}
		return []step{
			{"audit", report, invocation{url: url, args: args, exit: 2}}, // everybody has drifted
			{"show the audit", report, invocation{args: []string{"show", report}}},
		}
	})
}

// documents takes steps on a server of n users, each with one privilege too many.
func (b *bench) documents(ctx context.Context, n int, steps func(url string) []step) error {
	sim, err := startSimulator(ctx, scene{Users: n, Stray: n})
	if err != nil {
		return err
	}
	defer sim.stop()
	for _, s := range steps(sim.url) {
		u, err := b.launch(ctx, s.v)
		if err != nil {
			return err
		}
		info, err := os.Stat(s.file)
		if err != nil {
			return err
		}
		b.report(s.name, u.wall.Seconds(), "s", fmt.Sprintf("%d users, %d MiB of JSON, peak %.0f MiB, %s of CPU", n, info.Size()>>20, u.mib(), seconds(u.cpu)))
	}
	return nil
}
