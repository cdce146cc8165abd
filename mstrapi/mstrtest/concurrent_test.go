package mstrtest

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"privsync/mstrapi"
)

// TestConcurrentUse is for the race detector, and checks that concurrent
// requests are numbered and logged once each.
func TestConcurrentUse(t *testing.T) {
	s := NewServer(example(t), Options{PageCap: 7})
	if err := s.Inject(Fault{Kind: ServerError, Rate: 0.1}); err != nil {
		t.Fatal(err)
	}
	s.OnRequest(func(n int, _ *http.Request) {
		if n%10 == 0 {
			if err := s.Grant(demoID, 54); err != nil {
				t.Error(err)
			}
		}
	})
	const workers, requests = 8, 60
	var wg sync.WaitGroup
	for w := range workers {
		c := admin(t, s)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 0))
			for i := range requests {
				var err error
				switch rng.IntN(5) {
				case 0:
					_, err = c.try(t.Context(), "GET", "/api/users?offset="+strconv.Itoa(i), "")
				case 1:
					_, err = c.try(t.Context(), "GET", "/api/usergroups/"+string(mstrapi.EveryoneGroup)+"/members?flatMembers=true", "")
				case 2:
					_, err = c.try(t.Context(), "PATCH", "/api/usergroups/"+string(UserAdministratorsGroup),
						`{"operationList":[{"op":"`+[]string{"add", "remove"}[i%2]+`","path":"/privileges","value":[2]}]}`)
				default:
					_, err = c.try(t.Context(), "GET", "/api/users/"+string(demoID)+"/privileges", "")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			id := DerivedID("user", strconv.Itoa(i))
			if err := s.AddUser(User{ID: id, Login: "new" + strconv.Itoa(i), Name: "New"}); err != nil {
				t.Error(err)
			}
			s.Losses()
			s.Log()
			s.Snapshot()
			s.Struck()
			if err := s.RemoveUser(id); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	log := s.Log()
	if len(log) != workers*(requests+1) {
		t.Errorf("%d requests in the log, want %d", len(log), workers*(requests+1))
	}
	for i, r := range log {
		if r.N != i+1 || r.Status == 0 {
			t.Fatalf("request %d of the log is %+v", i+1, r)
		}
	}
}
