package mstrapi

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
)

// What the vendor's SDK takes for success is success here: any 2xx to a write, with a
// body or without; 201 to a read; a path that the server wants with a slash at its end.
func TestAnswersThatOthersSurvive(t *testing.T) {
	const group = "/api/usergroups/" + string(userAdmins)
	for _, status := range []int{200, 201, 202, 204} {
		f := newFake(t)
		f.handle("PATCH "+group, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != 204 {
				_, _ = io.WriteString(w, `{"id":"`+string(userAdmins)+`"}`)
			}
		})
		w := f.writer(t)
		if err := w.PatchPrivileges(t.Context(), Group, userAdmins, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil || f.count("PATCH") != 1 {
			t.Errorf("%d to a write: %v after %d requests", status, err, f.count("PATCH"))
		}
	}
	f := newFake(t)
	f.handle("GET /api/iserver/privileges", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `[{"id":"1","name":"a","level":"server"}]`)
	})
	if got, err := f.reader(t).Catalogue(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("201 to a read: %v, %v", got, err)
	}
}

func TestTrailingSlash(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		f := newFake(t)
		f.answer("GET /api/iserver/privileges/", `[{"id":"1","name":"a","level":"server"}]`)
		f.handle("PATCH /api/usergroups/"+string(userAdmins)+"/", func(http.ResponseWriter, *http.Request) {})
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "/auth/") {
				return false
			}
			to := r.URL.Path + "/"
			if r.URL.RawQuery != "" {
				to += "?" + r.URL.RawQuery
			}
			w.Header().Set("Location", to)
			w.WriteHeader(status)
			return true
		}
		w := f.writer(t, func(c *Config) {
			c.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				trace.GetConn(r.URL.Host)
				trace.GotConn(httptrace.GotConnInfo{})
				return f.RoundTrip(r)
			})
		})
		if got, err := w.Catalogue(t.Context()); err != nil || len(got) != 1 {
			t.Errorf("%d: Catalogue = %v, %v", status, got, err)
		}
		if err := w.PatchPrivileges(t.Context(), Group, userAdmins, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil || f.count("PATCH") != 2 {
			t.Errorf("%d: PatchPrivileges = %v after %d requests", status, err, f.count("PATCH"))
		}
		if got := w.Stats(); got.Requests != int64(len(f.requests())) || got.Retries != 2 {
			t.Errorf("%d: %+v, the server saw %d requests", status, got, len(f.requests()))
		}
	}
	f := newFake(t)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/auth/") {
			return false
		}
		http.Redirect(w, r, "http://elsewhere.example.com"+r.URL.Path+"/", http.StatusPermanentRedirect)
		return true
	}
	if _, err := f.reader(t).Catalogue(t.Context()); err == nil || f.count("GET") != 1 || strings.Contains(err.Error(), "--url") {
		t.Errorf("a redirect to another host = %v after %d requests", err, f.count("GET"))
	}
}
