package mstrtest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
)

func TestLateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(example(t), Options{})
		defer s.Close()
		c := admin(t, s)
		if err := s.Inject(Fault{Kind: LateWrite, Delay: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		demo := "/api/users/" + string(demoID)
		if _, err := c.try(t.Context(), "PATCH", demo, testdata(t, "patch.json")); err == nil {
			t.Error("a late write had an answer")
		}
		diff(t, "before", "[53]", sprint(s.Direct(demoID)))
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		diff(t, "after", "[2 54]", sprint(s.Direct(demoID)))
		if w := s.Writes(); len(w) != 1 || !w[0].Applied || w[0].Status != 0 {
			t.Errorf("Writes = %+v, want one without an answer", w)
		}
	})
}

func TestOldRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(example(t), Options{})
		c := admin(t, s)
		demo := "/api/users/" + string(demoID)
		path := demo + "/privileges?privilege.level=server"
		before := c.get(path).body
		time.Sleep(time.Minute)
		c.want(200, "PATCH", demo, testdata(t, "patch.json"))
		if err := s.Grant(mstrapi.EveryoneGroup, 4); err != nil {
			t.Fatal(err)
		}
		now := c.get(path).body
		if err := s.Inject(Fault{Kind: OldRead, Delay: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		diff(t, "old", before, c.get(path).body)
		time.Sleep(6 * time.Second)
		diff(t, "no longer old", now, c.get(path).body)
	})
}

func TestSideEffects(t *testing.T) {
	s := NewServer(example(t), Options{Quirks: Quirks{SideEffects: []SideEffect{
		{Privilege: 2, Needs: []mstrapi.PrivilegeID{4}}, {Privilege: 4, Needs: []mstrapi.PrivilegeID{1}},
	}}})
	c := admin(t, s)
	demo := "/api/users/" + string(demoID)
	patch := func(op, value string) {
		c.want(200, "PATCH", demo, `{"operationList":[{"op":"`+op+`","path":"/privileges","value":[`+value+`]}]}`)
	}
	patch("add", "2")
	diff(t, "granted along", "[1 2 4 53]", sprint(s.Direct(demoID)))
	patch("remove", "4")
	diff(t, "revoked along", "[1 53]", sprint(s.Direct(demoID)))
	if w := s.Writes(); len(w) != 2 || len(w[0].Granted) != 3 || len(w[1].Revoked) != 2 {
		t.Errorf("Writes = %+v", w)
	}
}

func TestCommandGrants(t *testing.T) {
	env := example(t)
	for i, name := range []string{LibraryWebName, WatchlistName, InsightName} {
		env.Catalogue = append(env.Catalogue, mstrapi.Privilege{ID: mstrapi.PrivilegeID(901 + i), Name: name})
	}
	for i := range env.Users {
		if env.Users[i].ID == demoID {
			env.Users[i].Privileges = append(env.Users[i].Privileges, 901)
		}
	}
	s := NewServer(env, Options{QueuePolls: 1})
	c := admin(t, s)
	href := decode[struct{ Link struct{ Href string } }](t, c.want(200, "POST", "/api/iserver/metadata/commands?commandId=1", "").body).Link.Href
	c.get("/api/iserver" + strings.TrimPrefix(href, "/api/iserver"))
	diff(t, "direct grants", "[53 901 902 903]", sprint(s.Direct(demoID)))
}
