package mstrtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
)

// TestFaults shows each fault to a client, over a network and without one.
func TestFaults(t *testing.T) {
	demo := "/api/users/" + string(demoID)
	privileges := demo + "/privileges?privilege.level=server"
	const none = -1 // an error instead of an answer
	for _, tc := range []struct {
		name    string
		fault   Fault
		method  string
		path    string
		status  int
		direct  string // direct grants afterwards
		check   func(t *testing.T, a answer)
		logged  int // status in the log
		readErr bool
	}{
		{name: "429", fault: Fault{Kind: TooManyRequests}, method: "PATCH", path: demo, status: 429, logged: 429, direct: "[53]",
			check: func(t *testing.T, a answer) {
				if _, ok := a.header["Retry-After"]; ok || a.failure(t).TicketID == "" {
					t.Errorf("%v %s: want no Retry-After, and a ticket", a.header, a.body)
				}
			}},
		{name: "429 with seconds", fault: Fault{Kind: TooManyRequests, RetryAfter: 7 * time.Second}, method: "GET", path: privileges, status: 429, logged: 429, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "Retry-After", "7", a.header.Get("Retry-After")) }},
		{name: "503 with date", fault: Fault{Kind: Unavailable, RetryAfter: time.Minute, RetryAfterDate: true}, method: "GET", path: privileges, status: 503, logged: 503, direct: "[53]",
			check: func(t *testing.T, a answer) {
				diff(t, "Retry-After", "Thu, 27 Feb 2020 16:39:44 GMT", a.header.Get("Retry-After"))
			}},
		{name: "500", fault: Fault{Kind: ServerError}, method: "PATCH", path: demo, status: 500, logged: 500, direct: "[53]"},
		{name: "500 processed", fault: Fault{Kind: ServerError, Processed: true}, method: "PATCH", path: demo, status: 500, logged: 500, direct: "[2 54]"},
		{name: "502", fault: Fault{Kind: BadGateway}, method: "GET", path: privileges, status: 502, logged: 502, direct: "[53]",
			check: func(t *testing.T, a answer) {
				if !strings.Contains(a.body, "<html>") {
					t.Errorf("body %s, want a proxy's page", a.body)
				}
			}},
		{name: "504 processed", fault: Fault{Kind: GatewayTimeout, Processed: true}, method: "PATCH", path: demo, status: 504, logged: 504, direct: "[2 54]"},
		{name: "408", fault: Fault{Kind: RequestTimeout}, method: "PATCH", path: demo, status: 408, logged: 408, direct: "[53]"},
		{name: "server's timeout", fault: Fault{Kind: IServerTimeout}, method: "GET", path: privileges, status: 500, logged: 500, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "iServerCode", -2147206497, a.failure(t).IServerCode) }},
		{name: "403", fault: Fault{Kind: Forbidden}, method: "PATCH", path: demo, status: 403, logged: 403, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "iServerCode", -2147214568, a.failure(t).IServerCode) }},
		{name: "reset before", fault: Fault{Kind: ResetBefore}, method: "PATCH", path: demo, status: none, direct: "[53]"},
		{name: "reset after", fault: Fault{Kind: ResetAfter}, method: "PATCH", path: demo, status: none, direct: "[2 54]"},
		{name: "hang", fault: Fault{Kind: Hang}, method: "PATCH", path: demo, status: none, direct: "[53]"},
		{name: "hang processed", fault: Fault{Kind: Hang, Processed: true}, method: "PATCH", path: demo, status: none, direct: "[2 54]"},
		{name: "cut body", fault: Fault{Kind: CutBody}, method: "PATCH", path: demo, status: 200, logged: 200, direct: "[2 54]", readErr: true,
			check: func(t *testing.T, a answer) {
				if a.body == "" || json.Valid([]byte(a.body)) {
					t.Errorf("body %q, want a part of one", a.body)
				}
			}},
		{name: "cut JSON", fault: Fault{Kind: CutJSON}, method: "PATCH", path: demo, status: 200, logged: 200, direct: "[2 54]",
			check: func(t *testing.T, a answer) {
				if a.body == "" || json.Valid([]byte(a.body)) {
					t.Errorf("body %q, want a part of one", a.body)
				}
			}},
		{name: "page", fault: Fault{Kind: HTMLPage}, method: "GET", path: privileges, status: 200, logged: 200, direct: "[53]",
			check: func(t *testing.T, a answer) {
				if !strings.Contains(a.body, "<html>") || !strings.Contains(a.header.Get("Content-Type"), "html") {
					t.Errorf("%v %s, want a page", a.header, a.body)
				}
			}},
		{name: "empty", fault: Fault{Kind: EmptyBody}, method: "GET", path: privileges, status: 200, logged: 200, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "body", "", a.body) }},
		{name: "session", fault: Fault{Kind: ExpireSession}, method: "PATCH", path: demo, status: 401, logged: 401, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "code", "ERR009", a.failure(t).Code) }},
		{name: "lie", fault: Fault{Kind: LyingWrite}, method: "PATCH", path: demo, status: 200, logged: 200, direct: "[53]",
			check: func(t *testing.T, a answer) { diff(t, "id", string(demoID), decode[row](t, a.body).ID) }},
	} {
		for _, network := range []bool{true, false} {
			name := tc.name + map[bool]string{true: ", network", false: ", transport"}[network]
			t.Run(name, func(t *testing.T) {
				now := time.Date(2020, 2, 27, 16, 38, 44, 0, time.UTC)
				s := NewServer(example(t), Options{Now: func() time.Time { return now }})
				c := admin(t, s)
				if network {
					server := httptest.NewServer(s)
					defer server.Close()
					c = newClient(t, server.Client().Transport, server.URL+s.PathPrefix())
					c.login("administrator", "")
				}
				s.ResetLog()
				fault := tc.fault
				fault.Times = 1
				if err := s.Inject(fault); err != nil {
					t.Fatal(err)
				}
				body := ""
				if tc.method == "PATCH" {
					body = testdata(t, "patch.json")
				}
				ctx := t.Context()
				if fault.Kind == Hang {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					s.OnResponse(func(int, *http.Request, int) { cancel() })
				}
				a, err := c.try(ctx, tc.method, tc.path, body)
				if got := a.status; err != nil && got == 0 && tc.status != none || err == nil && got != tc.status {
					t.Fatalf("status %d, error %v, want %d", got, err, tc.status)
				}
				if (err != nil) != (tc.status == none || tc.readErr) {
					t.Errorf("error %v", err)
				}
				if tc.readErr && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("error %v, want an unexpected end", err)
				}
				if fault.Kind == Hang && !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the context's", err)
				}
				if tc.check != nil {
					tc.check(t, a)
				}
				diff(t, "direct grants", tc.direct, sprint(s.Direct(demoID)))
				log := s.Log()
				if len(log) != 1 || log[0].Fault != fault.Kind || log[0].Status != tc.logged {
					t.Errorf("log = %+v, want one request with %s and status %d", log, fault.Kind, tc.logged)
				}
				if log[0].Applied != (tc.direct == "[2 54]") {
					t.Errorf("log says applied %v", log[0].Applied)
				}
				diff(t, "struck", map[FaultKind]int{fault.Kind: 1}, s.Struck())
				if fault.Kind == ExpireSession {
					c.login("administrator", "")
				}
				c.want(200, "GET", demo, "")
			})
		}
	}
}

func TestPageFaults(t *testing.T) {
	for kind, check := range map[FaultKind]func(all, got []row) bool{
		ShortPage:    func(all, got []row) bool { return slices.Equal(ids(all[:len(all)-1]), ids(got)) },
		LostRow:      func(all, got []row) bool { return len(got) == len(all)-1 && got[len(got)-1].ID == all[len(all)-1].ID },
		DuplicateRow: func(all, got []row) bool { return len(got) == len(all) && got[len(got)-1].ID == all[0].ID },
	} {
		for _, path := range []string{
			"/api/users?limit=10", "/api/usergroups", "/api/usergroups/" + string(mstrapi.EveryoneGroup) + "/members?limit=5",
		} {
			s := NewServer(example(t), Options{})
			c := admin(t, s)
			whole := c.get(path)
			if err := s.Inject(Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			a := c.get(path)
			if !check(decode[[]row](t, whole.body), decode[[]row](t, a.body)) {
				t.Errorf("%s on %s: %s", kind, path, a.body)
			}
			diff(t, "count", whole.header.Get("X-MSTR-Total-Count"), a.header.Get("X-MSTR-Total-Count"))
			c.want(200, "GET", "/api/users/"+string(demoID), "")
			if rows := c.rows("/api/users?offset=9999"); len(rows) != 0 {
				t.Errorf("%s on an empty page: %v", kind, rows)
			}
		}
	}
}

func ids(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

func TestFaultsChooseTheirRequests(t *testing.T) {
	run := func(f ...Fault) []int {
		s := NewServer(example(t), Options{})
		for _, fault := range f {
			if err := s.Inject(fault); err != nil {
				t.Fatal(err)
			}
		}
		c := admin(t, s) // faults without a Path leave the login alone
		var statuses []int
		for range 20 {
			statuses = append(statuses, c.get("/api/sessions").status, c.get("/api/users/"+string(demoID)).status)
		}
		return statuses
	}
	count := func(statuses []int, status int) int {
		return len(slices.DeleteFunc(slices.Clone(statuses), func(s int) bool { return s != status }))
	}
	if got := run(Fault{Kind: ServerError, Path: "^/api/users/", Skip: 3, Times: 2}); count(got, 500) != 2 || got[7] != 500 || got[9] != 500 {
		t.Errorf("skip 3, twice: %v", got)
	}
	if got := run(Fault{Kind: ServerError, Method: "PATCH"}); count(got, 500) != 0 {
		t.Errorf("another method: %v", got)
	}
	a := run(Fault{Kind: ServerError, Rate: 0.3, Seed: 1})
	if n := count(a, 500); n < 4 || n > 22 {
		t.Errorf("rate 0.3 of 40 struck %d", n)
	}
	diff(t, "the same seed", a, run(Fault{Kind: ServerError, Rate: 0.3, Seed: 1}))
	if slices.Equal(a, run(Fault{Kind: ServerError, Rate: 0.3, Seed: 2})) {
		t.Error("another seed gave the same faults")
	}
	both := run(Fault{Kind: ServerError, Times: 1}, Fault{Kind: Unavailable, Times: 1})
	diff(t, "two faults in order", []int{500, 503, 200}, both[:3])

	s := NewServer(example(t), Options{})
	for _, f := range []Fault{{}, {Kind: "x"}, {Kind: Hang, Path: "("}, {Kind: Hang, Rate: 2}, {Kind: Hang, Skip: -1}, {Kind: Hang, Times: -1}} {
		if err := s.Inject(f); err == nil {
			t.Errorf("Inject(%+v): no error", f)
		}
	}
	if err := s.Inject(Fault{Kind: ServerError, Path: "login"}); err != nil {
		t.Fatal(err)
	}
	dial(t, s).want(500, "POST", "/api/auth/login", testdata(t, "login.json"))
	s.ClearFaults()
	if err := s.Inject(Fault{Kind: ServerError}); err != nil {
		t.Fatal(err)
	}
	if a := newClient(t, s.Transport(), "http://server.example").get("/"); a.status != 200 {
		t.Errorf("a fault outside the prefix: %d", a.status)
	}
	s.ClearFaults()
	if len(s.Struck()) != 0 {
		t.Error("ClearFaults left some")
	}
	admin(t, s)
}

func TestTransportHonoursTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(example(t), Options{Latency: time.Second})
		c := admin(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		demo := "/api/users/" + string(demoID)
		_, err := c.try(ctx, "PATCH", demo, testdata(t, "patch.json"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v, want the deadline's error after 100ms", err, time.Since(start))
		}
		if _, err := c.try(ctx, "GET", demo, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline's error", err)
		}
		diff(t, "direct grants", "[53]", sprint(s.Direct(demoID)))

		// A request that hangs ends with its context, or when the server closes.
		if err := s.Inject(Fault{Kind: Hang}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		if _, err := c.try(ctx, "GET", demo, ""); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v, want the deadline's error after a minute", err, time.Since(start))
		}
		time.AfterFunc(time.Hour, s.Close)
		if _, err := c.try(t.Context(), "GET", demo, ""); err == nil {
			t.Error("a request that hung had an answer")
		}
		s.Close()
	})
}
