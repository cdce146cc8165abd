//go:build linux

package main

import (
	"io"
	"strings"
	"testing"

	"privsync/mstrapi/mstrtest"
)

// TestRequests is the measurement of requests on small servers: counts are
// exact, so they hold on any machine. Reads and writes of users are not only
// bounded: there is no way to do with fewer.
func TestRequests(t *testing.T) {
	for _, s := range []scene{
		{Users: 250, Stray: 25, PageCap: 100},
		{Users: 250, Stray: 25, PageCap: 1000}, // lists of one page
		{Users: 7, Stray: 1, PageCap: 1},       // a page for each row: lookups are fewer
	} {
		for _, sh := range withLicences(shapes()) {
			if s.Users < 200 && strings.HasPrefix(sh.name, "groups change") {
				continue // it has no second team
			}
			c, err := countRequests(t.Context(), s, sh)
			if err != nil {
				t.Fatalf("%+v, %s: %v", s, sh.name, err)
			}
			if sh.twice != (len(c.plan.Changes) == 0) {
				t.Errorf("%+v, %s: %d changes", s, sh.name, len(c.plan.Changes))
			}
			for _, j := range c.judge(sh.bounds(s, c.plan)) {
				exact := j.formula == "N + C" || j.formula == "C"
				if j.n > int64(j.limit) || exact && j.n != int64(j.limit) {
					t.Errorf("%+v, %s: %d requests %s, want at most %d (%s)", s, sh.name, j.n, j.what, j.limit, j.formula)
				}
			}
		}
	}
}

func TestJudge(t *testing.T) {
	c := count{by: map[mstrtest.Endpoint]int64{mstrtest.ListUsers: 3, mstrtest.Login: 10, mstrtest.Logout: 3}}
	got := c.judge([]bound{{[]mstrtest.Endpoint{mstrtest.ListUsers, mstrtest.GetUser}, 2, "two", 1}})
	if len(got) != 2 || got[0].n != 3 || got[0].limit != 2 || got[1].n != 13 || got[1].limit != constantRequests-1 {
		t.Errorf("judge = %+v, want 3 of 2 and 13 of %d", got, constantRequests-1)
	}
}

func TestMostInWindow(t *testing.T) {
	for _, test := range []struct {
		times []int64
		want  int
	}{{nil, 0}, {[]int64{0, 9, 10, 11}, 3}, {[]int64{0, 10, 20}, 1}, {[]int64{5, 5, 5, 14, 15}, 4}} {
		if got := mostInWindow(test.times, 10); got != test.want {
			t.Errorf("mostInWindow(%v, 10) = %d, want %d", test.times, got, test.want)
		}
	}
}

// TestRun checks the table of a short run, and that mistakes are told from
// limits that are exceeded.
func TestRun(t *testing.T) {
	var out strings.Builder
	if code := run(t.Context(), []string{"--short", "requests"}, &out, io.Discard); code != 0 {
		t.Errorf("exit %d, want 0:\n%s", code, out.String())
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2*len(shapes())+2 || strings.Contains(out.String(), "OVER") {
		t.Errorf("the table has %d lines, want one for each of %d shapes:\n%s", lines, len(shapes()), out.String())
	}
	if code := run(t.Context(), []string{"no-such"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("exit %d for an unknown name, want 2", code)
	}
}
