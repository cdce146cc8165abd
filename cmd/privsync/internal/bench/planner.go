//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// plannerQuestion asks a child how long the planner takes.
type plannerQuestion struct{ Users, Runs int }

// plannerAnswer holds the CPU time of each run of planner.Make, everything read
// already.
type plannerAnswer struct{ CPU []time.Duration }

// measurePlanner measures the planner without a network: its CPU time on one
// core, in a process of its own.
func measurePlanner(ctx context.Context, b *bench) error {
	q := plannerQuestion{Users: b.scale(100_000, 5000), Runs: b.scale(5, 1)}
	var a plannerAnswer
	if err := ask(ctx, "planner", q, &a); err != nil {
		return err
	}
	var list []float64
	for _, d := range a.CPU {
		list = append(list, d.Seconds())
	}
	b.atMost(fmt.Sprintf("planner.Make, %d principals × %d privileges", q.Users, heldPrivileges), median(list), "s of CPU", 2,
		fmt.Sprintf("one core, median of %d (%s)", len(list), spread(list)))
	return nil
}

func plannerChild(in io.Reader, out io.Writer) error {
	var q plannerQuestion
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	s := scene{Users: q.Users, Stray: q.Users / 10}
	pol, err := policy.Parse("policy.yaml", []byte(s.listPolicy(withSets)))
	if err != nil {
		return err
	}
	st, err := planner.Observe(context.Background(), newCrowd(s), pol, planner.ObserveOptions{})
	if err != nil {
		return err
	}
	var a plannerAnswer
	for range q.Runs {
		runtime.GC()
		before := ownCPU()
		plan := planner.Make(pol, st, planner.MakeOptions{})
		a.CPU = append(a.CPU, ownCPU()-before)
		if len(plan.Changes) != s.Stray {
			return fmt.Errorf("%d changes, want %d", len(plan.Changes), s.Stray)
		}
	}
	return json.NewEncoder(out).Encode(a)
}

// crowd answers for a scene's users without a server.
type crowd struct {
	planner.Reader
	s         scene
	catalogue []mstrapi.Privilege
	index     map[mstrapi.ObjectID]int
	rows      []mstrapi.PrincipalRow
}

func newCrowd(s scene) *crowd {
	c := &crowd{s: s, index: make(map[mstrapi.ObjectID]int, s.Users)}
	for _, id := range privileges(0, strayIndex+1) {
		c.catalogue = append(c.catalogue, mstrapi.Privilege{ID: id, Name: fmt.Sprintf("Server privilege %d", id)})
	}
	for n := 1; n <= s.Users; n++ {
		c.index[userID(n)] = n
		c.rows = append(c.rows, mstrapi.PrincipalRow{
			Kind: mstrapi.User, ID: userID(n), Name: fmt.Sprintf("User %d", n), Login: userLogin(n), Enabled: mstrapi.Yes,
		})
	}
	return c
}

func (c *crowd) Status(context.Context) (mstrapi.Status, error) { return mstrapi.Status{}, nil }

func (c *crowd) SessionUser(context.Context) (mstrapi.SessionUser, error) {
	return mstrapi.SessionUser{}, nil
}

func (c *crowd) Catalogue(context.Context) ([]mstrapi.Privilege, error) { return c.catalogue, nil }

func (c *crowd) OddPrivileges() []mstrapi.OddPrivilege { return nil }

func (c *crowd) List(mstrapi.Kind, mstrapi.Query) *mstrapi.Listing {
	return mstrapi.NewListing("/list", 1, func(_ context.Context, offset, limit int) (mstrapi.Page, error) {
		return mstrapi.Page{Total: len(c.rows), Rows: c.rows[min(offset, len(c.rows)):min(offset+limit, len(c.rows))]}, nil
	})
}

func (c *crowd) Held(_ context.Context, _ mstrapi.Kind, id mstrapi.ObjectID, _ mstrapi.Level) ([]mstrapi.Held, error) {
	n := c.index[id]
	group := func(kind string, n int) []mstrapi.ObjectRef {
		return []mstrapi.ObjectRef{{ID: mstrapi.ObjectID(fmt.Sprintf("%s0000000%024X", kind, n)), Name: fmt.Sprintf("Group %s%d", kind, n)}}
	}
	team, division := group("E", (n-1)/200+1), group("D", (n-1)/2000+1)
	var held []mstrapi.Held
	for i, p := range c.s.held(n) {
		h := mstrapi.Held{ID: p, Level: mstrapi.LevelServer}
		switch i / heldDirectly {
		case 0:
			h.Direct = true
		case 1:
			h.Groups = team
		default:
			h.Groups = division
		}
		held = append(held, h)
	}
	if c.s.Stray > 0 && (n-1)%(c.s.Users/c.s.Stray) == 0 && (n-1)/(c.s.Users/c.s.Stray) < c.s.Stray {
		held = append(held, mstrapi.Held{ID: strayPrivilege(), Level: mstrapi.LevelServer, Direct: true})
	}
	return held, nil
}

// validateQuestion asks a child how long the policy in a file takes.
type validateQuestion struct {
	Path string
	Runs int
}

// validateAnswer holds the times of loading it and, beside each, of parsing it
// into nodes.
type validateAnswer struct{ Load, Nodes []time.Duration }

// measureValidate compares loading a large policy with what the YAML library
// alone needs to parse the same file, in alternation.
func measureValidate(ctx context.Context, b *bench) error {
	s := scene{Users: b.scale(100_000, 2000)}
	for _, how := range []style{withSets, withBoth} {
		path, err := b.file("validate.yaml", s.listPolicy(how))
		if err != nil {
			return err
		}
		var a validateAnswer
		if err := ask(ctx, "validate", validateQuestion{path, b.scale(5, 1)}, &a); err != nil {
			return err
		}
		var ratios []float64
		for i := range a.Load {
			ratios = append(ratios, float64(a.Load[i])/float64(a.Nodes[i]))
		}
		b.atMost(fmt.Sprintf("validate, %d principals with %s", s.Users, how), median(ratios), "×", 3,
			fmt.Sprintf("yaml.v3 alone %s, validate %s; median of %d pairs (%s)", seconds(slices.Min(a.Nodes)), seconds(slices.Min(a.Load)), len(ratios), spread(ratios)))
	}
	return nil
}

func validateChild(in io.Reader, out io.Writer) error {
	var q validateQuestion
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return err
	}
	var a validateAnswer
	for range q.Runs {
		data, err := os.ReadFile(q.Path)
		if err != nil {
			return err
		}
		runtime.GC()
		start := time.Now()
		if err := yaml.Unmarshal(data, new(yaml.Node)); err != nil {
			return err
		}
		a.Nodes = append(a.Nodes, time.Since(start))
		runtime.GC()
		start = time.Now()
		if _, err := policy.Load([]string{q.Path}, policy.Options{}); err != nil {
			return err
		}
		a.Load = append(a.Load, time.Since(start))
	}
	return json.NewEncoder(out).Encode(a)
}
