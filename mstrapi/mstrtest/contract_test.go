package mstrtest

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"privsync/mstrapi"
)

// TestDocumentedSamples goes through the four documents that the project
// started from, request by request, over a real connection.
func TestDocumentedSamples(t *testing.T) {
	// The date of the documents' PATCH.
	now := time.Date(2020, 2, 27, 16, 38, 44, 0, time.UTC)
	s := NewServer(example(t), Options{PathPrefix: "/consume-dev", Gzip: true, Now: func() time.Time { return now }})
	server := httptest.NewServer(s)
	defer server.Close()
	c := newClient(t, nil, server.URL+"/consume-dev")

	// Log in: 204, an empty body, the token in a header.
	a := c.want(204, "POST", "/api/auth/login", testdata(t, "login.json"))
	if c.token = a.header.Get("x-mstr-authtoken"); !regexp.MustCompile(`^[a-z0-9]{26}$`).MatchString(c.token) {
		t.Errorf("token = %q, want 26 letters and digits like the sample's", c.token)
	}
	if a.body != "" || a.header.Get("Content-Type") != "" {
		t.Errorf("login answered body %q and content type %q, want none", a.body, a.header.Get("Content-Type"))
	}

	// The privileges of the sample's user, word for word.
	demo := "/api/users/" + string(demoID)
	a = c.want(200, "GET", demo+"/privileges?privilege.level=server", "")
	sameJSON(t, "privileges of Demo User", testdata(t, "privileges-demo.json"), a.body)

	// Grant 2 and 54, revoke 53. The 2020 document's body is not JSON.
	a = c.want(400, "PATCH", demo, testdata(t, "patch-trailing-comma.txt"))
	if f := a.failure(t); f.Code != "ERR006" || f.TicketID == "" {
		t.Errorf("trailing comma: %+v, want ERR006 with a ticket", f)
	}
	diff(t, "direct grants after the refusal", "[53]", sprint(s.Direct(demoID)))
	a = c.want(200, "PATCH", demo, testdata(t, "patch.json"))
	want := decode[map[string]any](t, testdata(t, "patch-demo-answer.json"))
	got := decode[map[string]any](t, a.body)
	for _, object := range []map[string]any{want, got} {
		// It changes with every edit, in a way that is not documented.
		if version, ok := object["version"].(string); !ok || !mstrapi.ObjectID(version).Valid() {
			t.Errorf("version = %v, want 32 hexadecimal digits", object["version"])
		}
		delete(object, "version")
	}
	diff(t, "answer to PATCH", want, got)
	diff(t, "direct grants", "[2 54]", sprint(s.Direct(demoID)))

	// The same for a group, in both spellings.
	for _, spelling := range []string{"usergroups", "userGroups"} {
		path := "/api/" + spelling + "/" + string(UserAdministratorsGroup)
		c.want(200, "PATCH", path, testdata(t, "patch.json"))
		diff(t, "direct grants of the group", "[2 54]", sprint(s.Direct(UserAdministratorsGroup)))
		a = c.want(200, "GET", path+"/privileges?privilege.level=server", "")
		diff(t, "sources", map[string][]string{"2": {"direct"}, "54": {"direct"}}, decode[held](t, a.body).sources())
		if err := s.Revoke(UserAdministratorsGroup, 54); err != nil {
			t.Fatal(err)
		}
	}

	// The session's own privilege.
	a = c.want(200, "GET", "/api/sessions/privileges/1", "")
	sameJSON(t, "session privilege", testdata(t, "session-privilege.json"), a.body)
	a = c.want(200, "GET", "/api/sessions/privileges/1?fields=id,name", "")
	sameJSON(t, "fields of the session privilege", `{"id":"1","name":"Create application objects"}`, a.body)

	// The catalogue's two rows in the vendor's reference.
	all := decode[[]map[string]any](t, c.want(200, "GET", "/api/iserver/privileges", "").body)
	diff(t, "catalogue", decode[[]map[string]any](t, testdata(t, "catalogue.json")), all[:2])

	// Command 1 and its queue entry.
	sample := decode[map[string]map[string]string](t, testdata(t, "command.json"))["link"]
	a = c.want(200, "POST", "/api/iserver/metadata/commands?commandId=1", "")
	link := decode[map[string]map[string]string](t, a.body)["link"]
	id, ok := strings.CutPrefix(link["href"], "/queues/")
	if !ok || !mstrapi.ObjectID(id).Valid() || link["type"] != sample["type"] || len(link) != len(sample) || len(link["href"]) != len(sample["href"]) {
		t.Errorf("command = %v, want the form of %v", link, sample)
	}
	for i := 1; i < 3; i++ {
		q := decode[map[string]int](t, c.want(200, "GET", "/api/iserver"+link["href"], "").body)
		diff(t, "queue", map[string]int{"status": queueRunning, "progress": 100 * i / 3, "iServerErrorCode": 0}, q)
	}
	sameJSON(t, "queue at the end", testdata(t, "queue.json"), c.want(200, "GET", "/api/iserver"+link["href"], "").body)

	// Log out.
	c.want(204, "POST", "/api/auth/logout", "")
	if f := c.want(401, "GET", demo, "").failure(t); f.Code != "ERR009" {
		t.Errorf("after the logout: %+v, want ERR009", f)
	}
	if n := s.OpenSessions(); n != 0 {
		t.Errorf("open sessions = %d, want 0", n)
	}
}
