package planner

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// crowd is a Reader of many users with 60 privileges each: 20 direct ones and
// 40 from two of 50 groups. Every tenth user misses one of its direct ones.
type crowd struct {
	Reader
	users  int
	groups []mstrapi.PrincipalRow
	cat    []mstrapi.Privilege
}

func newCrowd(users int) *crowd {
	c := &crowd{users: users}
	for i := range 300 {
		c.cat = append(c.cat, mstrapi.Privilege{ID: mstrapi.PrivilegeID(i + 1), Name: fmt.Sprintf("Privilege number %d", i+1)})
	}
	for i := range 50 {
		c.groups = append(c.groups, mstrapi.PrincipalRow{Kind: mstrapi.Group, ID: idOf(mstrapi.Group, i), Name: fmt.Sprintf("Group %d", i)})
	}
	return c
}

func (c *crowd) Status(context.Context) (mstrapi.Status, error) { return mstrapi.Status{}, nil }
func (c *crowd) SessionUser(context.Context) (mstrapi.SessionUser, error) {
	return mstrapi.SessionUser{ID: idOf(mstrapi.User, 1<<40)}, nil
}
func (c *crowd) Catalogue(context.Context) ([]mstrapi.Privilege, error) { return c.cat, nil }
func (c *crowd) OddPrivileges() []mstrapi.OddPrivilege                  { return nil }

func (c *crowd) row(i int) mstrapi.PrincipalRow {
	return mstrapi.PrincipalRow{Kind: mstrapi.User, ID: idOf(mstrapi.User, i), Name: fmt.Sprintf("Display name %d", i), Login: fmt.Sprintf("user%06d", i), Enabled: mstrapi.Yes}
}

func (c *crowd) List(mstrapi.Kind, mstrapi.Query) *mstrapi.Listing {
	return mstrapi.NewListing("/list", 1, func(_ context.Context, offset, limit int) (mstrapi.Page, error) {
		p := mstrapi.Page{Total: c.users}
		for i := offset; i < min(offset+limit, c.users); i++ {
			p.Rows = append(p.Rows, c.row(i))
		}
		return p, nil
	})
}

func (c *crowd) Held(_ context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, _ mstrapi.Level) ([]mstrapi.Held, error) {
	var n int
	if _, err := fmt.Sscanf(string(id[2:]), "%X", &n); err != nil || kind == mstrapi.Group {
		return nil, err
	}
	first, second := c.groups[n%50], c.groups[(n/50)%50]
	held := make([]mstrapi.Held, 0, 60)
	for i := range 60 {
		h := mstrapi.Held{ID: mstrapi.PrivilegeID(i*5 + 1), Level: mstrapi.LevelServer}
		switch {
		case i < 20:
			if i == 7 && n%10 == 0 {
				continue
			}
			h.Direct = true
		case i < 40:
			h.Groups = []mstrapi.ObjectRef{{ID: first.ID, Name: first.Name}}
		default:
			h.Groups = []mstrapi.ObjectRef{{ID: first.ID, Name: first.Name}, {ID: second.ID, Name: second.Name}}
		}
		held = append(held, h)
	}
	return held, nil
}

// crowdPolicy lists every user one by one, with the 20 privileges that they
// should hold directly and 20 that they inherit.
func crowdPolicy(users int) *policy.Policy {
	var list []policy.Listed
	for i := range 40 {
		list = append(list, policy.Listed{Ref: policy.Ref{Name: fmt.Sprintf("Privilege number %d", i*5+1)}, Set: "all"})
	}
	var entries []policy.Entry
	for i := range users {
		entries = append(entries, entry(policy.User, fmt.Sprintf("user%06d", i), policy.Authoritative, list...))
	}
	return policyOf(entries...)
}

// BenchmarkMake is the pure planner: everything is read already.
func BenchmarkMake(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("principals=%d", users), func(b *testing.B) {
			pol := crowdPolicy(users)
			st := observe(b, newCrowd(users), pol)
			b.ReportAllocs()
			for b.Loop() {
				if plan := Make(pol, st, MakeOptions{}); len(plan.Changes) != users/10 {
					b.Fatalf("%d changes, want %d", len(plan.Changes), users/10)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(users), "ns/principal")
		})
	}
}

// BenchmarkObserve reads from a server that costs nothing: it shows what is
// kept of each principal.
func BenchmarkObserve(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("principals=%d", users), func(b *testing.B) {
			pol := crowdPolicy(users)
			var st *State
			for b.Loop() {
				st = observe(b, newCrowd(users), pol)
			}
			var with, without runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&with)
			kept := st
			st = nil
			_ = kept.Level
			kept = nil
			runtime.GC()
			runtime.ReadMemStats(&without)
			b.ReportMetric(float64(int64(with.HeapAlloc)-int64(without.HeapAlloc))/float64(users), "B/principal")
		})
	}
}

// BenchmarkDocument seals and writes a plan with many changes.
func BenchmarkDocument(b *testing.B) {
	const users = 100_000
	pol := crowdPolicy(users)
	plan := Make(pol, observe(b, newCrowd(users), pol), MakeOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if err := plan.Seal(); err != nil {
			b.Fatal(err)
		}
		if _, err := plan.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
