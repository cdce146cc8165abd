package mstrapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// simulate starts a server with a random environment and a client for it; in a
// bubble.
func simulate(t *testing.T, seed uint64, o mstrtest.Options, change func(*mstrapi.Config)) (*mstrtest.Server, *mstrtest.Environment, *mstrapi.Writer) {
	t.Helper()
	env := mstrtest.Random(rand.New(rand.NewPCG(seed, 1)), mstrtest.Size{})
	o.PathPrefix = "/consume-dev"
	server := mstrtest.NewServer(env, o)
	t.Cleanup(server.Close)
	cfg := mstrapi.Config{URL: "http://localhost" + o.PathPrefix, Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword, Transport: server.Transport()}
	if change != nil {
		change(&cfg)
	}
	w, err := mstrapi.OpenWriter(t.Context(), cfg)
	if err != nil {
		t.Fatalf("OpenWriter = %v", err)
	}
	return server, env, w
}

// checkHeld compares what the client reads with the server's true state.
func checkHeld(t *testing.T, server *mstrtest.Server, kind mstrapi.Kind, id mstrapi.ObjectID, held []mstrapi.Held) {
	t.Helper()
	var direct, inherited, all []mstrapi.PrivilegeID
	for _, h := range held {
		all = append(all, h.ID)
		if h.Direct {
			direct = append(direct, h.ID)
		}
		if h.Inherited() {
			inherited = append(inherited, h.ID)
		}
	}
	for name, pair := range map[string][2][]mstrapi.PrivilegeID{
		"direct": {direct, server.Direct(id)}, "inherited": {inherited, server.Inherited(id)}, "effective": {all, server.Effective(id)},
	} {
		slices.Sort(pair[0])
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s %s: %s %v, truly %v", kind, id, name, pair[0], pair[1])
		}
	}
}

// All quirks: every reading gives the server's true state.
func TestQuirksDoNotMatter(t *testing.T) {
	quirks := map[string]mstrtest.Options{
		"none":     {},
		"parent":   {SourceStyle: mstrtest.Parent, PageCap: 3},
		"bare":     {Quirks: mstrtest.Quirks{CountHeader: "x-mstr-total-count", WrappedMemberships: true}, PageCap: 1},
		"no list":  {Quirks: mstrtest.Quirks{EmptyUserList: true, FlatWithGroups: true}, PageCap: 4},
		"no count": {Quirks: mstrtest.Quirks{NoCount: true}, PageCap: 5},
		"by id":    {Quirks: mstrtest.Quirks{NoCountWithID: true}},
	}
	for name, o := range quirks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, env, w := simulate(t, 7, o, nil)
				ctx := t.Context()
				users := map[mstrapi.ObjectID]string{}
				rows, err := w.List(mstrapi.User, mstrapi.Query{}).All(ctx)
				for _, row := range rows {
					users[row.ID] = row.Login
				}
				if err != nil || len(users) != len(env.Users) {
					t.Fatalf("All = %d users, %v, want %d", len(users), err, len(env.Users))
				}
				for _, u := range env.Users {
					if users[u.ID] != u.Login {
						t.Errorf("login of %s is %q, truly %q", u.ID, users[u.ID], u.Login)
					}
					found := 0
					rows, err := w.List(mstrapi.User, mstrapi.Query{LoginBegins: u.Login}).All(ctx)
					for _, row := range rows {
						if row.ID == u.ID {
							found++
						}
					}
					if err != nil || found != 1 {
						t.Errorf("looking up %q finds it %d times, %v", u.Login, found, err)
					}
					refs, err := w.Memberships(ctx, mstrapi.User, u.ID)
					if err != nil {
						t.Errorf("Memberships = %v", err)
					}
					for _, g := range u.Groups {
						if !slices.ContainsFunc(refs, func(r mstrapi.ObjectRef) bool { return r.ID == g }) {
							t.Errorf("memberships of %s lack %s", u.ID, g)
						}
					}
					row, err := w.Principal(ctx, mstrapi.User, u.ID)
					if err != nil || row.Login != u.Login || row.Name != u.Name || len(row.Memberships) != len(refs) {
						t.Errorf("Principal = %+v, %v, want %+v", row, err, u)
					}
					held, err := w.Held(ctx, mstrapi.User, u.ID, mstrapi.LevelAll)
					if err != nil {
						t.Errorf("Held = %v", err)
					}
					checkHeld(t, server, mstrapi.User, u.ID, held)
				}
				for _, g := range env.Groups {
					held, err := w.Held(ctx, mstrapi.Group, g.ID, mstrapi.LevelAll)
					if err != nil {
						t.Errorf("Held = %v", err)
					}
					checkHeld(t, server, mstrapi.Group, g.ID, held)
					if _, err := w.Memberships(ctx, mstrapi.Group, g.ID); err != nil {
						t.Errorf("Memberships = %v", err)
					}
				}
				if err := w.Close(ctx); err != nil || server.OpenSessions() != 0 {
					t.Errorf("Close = %v, %d sessions left", err, server.OpenSessions())
				}
			})
		})
	}
}

// unknowable reports whether a client cannot know of such a fault: whoever
// verifies does.
func unknowable(kind mstrtest.FaultKind) bool {
	return kind == mstrtest.LyingWrite || kind == mstrtest.LateWrite || kind == mstrtest.OldRead
}

// Under every kind of fault, a read gives the truth or an error; a write is done
// when nil says so, and not done when the error says that it surely was not.
func TestFaultsNeverLie(t *testing.T) {
	const users = 12
	for _, kind := range append(mstrtest.FaultKinds(), "all") {
		if unknowable(kind) {
			continue
		}
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, env, w := simulate(t, 3, mstrtest.Options{Latency: 5 * time.Millisecond}, func(c *mstrapi.Config) { c.Timeout = time.Second })
				rate := 0.3
				kinds := []mstrtest.FaultKind{kind}
				if kind == mstrtest.ExpireSession {
					rate = 0.1 // three sessions that die at their first use end a client
				}
				if kind == "all" {
					kinds = mstrtest.FaultKinds()
					rate = 0.02
				}
				for i, k := range kinds {
					if unknowable(k) {
						continue
					}
					if err := server.Inject(mstrtest.Fault{Kind: k, Rate: rate, Seed: uint64(i), RetryAfter: time.Duration(i%3) * time.Second, RetryAfterDate: i%2 == 0}); err != nil {
						t.Fatal(err)
					}
				}
				var mu sync.Mutex
				good, bad := 0, 0
				count := func(err error) {
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						good++
					} else {
						bad++
					}
				}
				var group sync.WaitGroup
				for _, u := range env.Users[:users] {
					if u.Login == mstrtest.ServiceLogin {
						continue // it must keep what it works with
					}
					group.Go(func() {
						for range 5 {
							rows, err := w.List(mstrapi.User, mstrapi.Query{}).All(t.Context())
							if err == nil && len(rows) != len(env.Users) {
								t.Errorf("All returns %d users, truly %d", len(rows), len(env.Users))
							}
							count(err)
							held, err := w.Held(t.Context(), mstrapi.User, u.ID, mstrapi.LevelAll)
							if err == nil {
								checkHeld(t, server, mstrapi.User, u.ID, held)
							}
							count(err)
							id := env.Catalogue[0].ID
							had := slices.Contains(server.Direct(u.ID), id)
							patch := mstrapi.PrivilegePatch{Add: []mstrapi.PrivilegeID{id}}
							if had {
								patch = mstrapi.PrivilegePatch{Remove: []mstrapi.PrivilegeID{id}}
							}
							err = w.PatchPrivileges(t.Context(), mstrapi.User, u.ID, patch)
							count(err)
							has := slices.Contains(server.Direct(u.ID), id)
							if err == nil && has == had && kind != mstrtest.EmptyBody && kind != "all" {
								t.Errorf("the server says yes to %+v and has not done it", patch)
							}
							if err != nil && !mstrapi.OutcomeUnknown(err) && has != had {
								t.Errorf("PatchPrivileges = %v says that nothing was done, but it was", err)
							}
						}
					})
				}
				group.Wait()
				if good == 0 || kind != mstrtest.Forbidden && bad > good {
					t.Errorf("%d requests went well, %d did not", good, bad)
				}
				server.ClearFaults()
				if err := w.Close(context.Background()); err != nil {
					t.Errorf("Close = %v", err)
				}
				var requests int64
				for range server.Log() {
					requests++
				}
				if got := w.Stats().Requests; got != requests {
					t.Errorf("Stats().Requests = %d, the server saw %d", got, requests)
				}
			})
		})
	}
}

// A caller without the right to read privileges is told so at once.
func TestForbiddenIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, env, w := simulate(t, 1, mstrtest.Options{}, nil)
		for _, u := range env.Users {
			if u.Login == mstrtest.ServiceLogin {
				if err := server.Revoke(u.ID, server.Direct(u.ID)...); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := w.Stats()
		_, err := w.Held(t.Context(), mstrapi.User, env.Users[0].ID, mstrapi.LevelServer)
		var e *mstrapi.Error
		if !mstrapi.IsForbidden(err) || !errors.As(err, &e) || e.TicketID == "" || !strings.Contains(err.Error(), e.TicketID) {
			t.Errorf("Held = %v, want a refusal with its ticket", err)
		}
		if after := w.Stats(); after.Requests != before.Requests+1 {
			t.Errorf("%d requests for one refusal", after.Requests-before.Requests)
		}
		w.Close(t.Context())
	})
}

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSessionsGivenUpAreLoggedOut lets a node that does not know the session answer
// once: the client logs in again, and leaves no session open in the end.
func TestSessionsGivenUpAreLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stray := true
		server, _, w := simulate(t, 3, mstrtest.Options{}, func(cfg *mstrapi.Config) {
			real := cfg.Transport
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if stray && strings.HasSuffix(r.URL.Path, "/iserver/privileges") {
					stray = false
					body := `{"code":"ERR009","message":"The user's session has expired"}`
					return &http.Response{StatusCode: 401, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
				}
				return real.RoundTrip(r)
			})
		})
		if _, err := w.SessionUser(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Catalogue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := server.OpenSessions(); n != 2 {
			t.Errorf("%d sessions are open, want the one given up and the one in use", n)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if n := server.OpenSessions(); n != 0 {
			t.Errorf("%d sessions are open after Close", n)
		}
	})
}
