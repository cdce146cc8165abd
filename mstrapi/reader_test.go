package mstrapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// sampleServer gives f every endpoint with the documents' samples.
func sampleServer(f *fake) {
	list := func(pattern, body, total string) {
		f.handle(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["x-mstr-total-count"] = []string{total}
			w.Write([]byte(body))
		})
	}
	f.answer("GET /api/status", `{"iServerVersion":"11.4.0000.0123","webVersion":"11.4.1","clusterEnabled":false}`)
	f.answer("GET /api/sessions", `{"timeout":1800,"locale":"en"}`)
	f.handle("PUT /api/sessions", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	f.answer("GET /api/sessions/userInfo", `{"id":"54f3d26011d2896560009a8e67019608","fullName":"Administrator","initials":"A"}`)
	f.answer("GET /api/sessions/privileges/{id}", `{"id":"1","name":"Create application objects","description":"x","isUserLevelAllowed":true,"projects":[{"id":"B7CA92F04B9FAE8D941C3E9B7E0CD754","isAllowed":true},{"id":"CE52831411E696C8BD2F0080EFD5AF44","isAllowed":false}]}`)
	f.answer("GET /api/iserver/privileges", `[{"id":"1","name":"Create application objects","description":"d","categories":["Server - Intelligence"],"isProjectLevelPrivilege":true},{"id":53,"name":"Monitor Database Connections","isProjectLevelPrivilege":false}]`)
	list("GET /api/users", `[{"id":"6C9DFE134D0F8764893B469525E38EB0","name":"Demo User","abbreviation":"demo","enabled":true}]`, "1")
	list("GET /api/usergroups", `[{"id":"17CD5CDB43085A8A52533B86A05DCB3A","name":"User Administrators","abbreviation":"x"}]`, "1")
	list("GET /api/usergroups/{id}/members", `[{"id":"6C9DFE134D0F8764893B469525E38EB0","name":"Demo User","username":"demo","enabled":false},{"id":"5F3FAFE111D2D8CC6000CC8E67019608","name":"System Administrators","abbreviation":"y","subtype":8705},{"id":"C2E4DA4A411B972B063FE8A583989959","name":"Web"},{"id":"0AA72D6042B938FF3FBED3AAC39349F5","name":"Someone","subtype":"8704"}]`, "4")
	f.answer("GET /api/users/{id}", `{"name":"Demo User","id":"6C9DFE134D0F8764893B469525E38EB0","type":34,"abbreviation":"demo","subtype":8704,"username":"demo","enabled":true,"acl":[{"deny":false}],"memberships":[{"id":"C82C6B1011D2894CC0009D9F29718E4F","name":"Everyone","source":{"type":["MSTR"]}},{"id":"17CD5CDB43085A8A52533B86A05DCB3A","name":"User Administrators"}]}`)
	f.answer("GET /api/usergroups/{id}", `{"id":"17CD5CDB43085A8A52533B86A05DCB3A","name":"User Administrators","subtype":8705}`)
	f.answer("GET /api/usergroups/{id}/memberships", `[{"id":"5F3FAFE111D2D8CC6000CC8E67019608","name":"System Administrators"}]`)
	f.answer("GET /api/users/{id}/privileges", sampleHeld)
	f.answer("GET /api/usergroups/{id}/privileges", `{"privileges":[]}`)
	f.answer("GET /api/iserver/queues/{id}", `{"status":3,"progress":100,"iServerErrorCode":0}`)
	f.answer("POST /api/iserver/metadata/commands", `{"link":{"href":"/queues/9E4799C94823E297DAC9808357575AF5","type":"GET"}}`)
	f.answer("PATCH /api/users/{id}", `{"id":"6C9DFE134D0F8764893B469525E38EB0"}`)
	f.answer("PATCH /api/usergroups/{id}", `{"id":"17CD5CDB43085A8A52533B86A05DCB3A"}`)
}

func TestReads(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	ctx := t.Context()
	w := f.writer(t)
	everyone := ObjectRef{ID: EveryoneGroup, Name: "Everyone"}
	tests := []struct {
		name string
		call func() (any, error)
		want any
		sent string
	}{
		{"Status", func() (any, error) { return w.Status(ctx) }, Status{IServerVersion: "11.4.0000.0123", WebVersion: "11.4.1"}, "GET /api/status"},
		{"SessionInfo", func() (any, error) { return w.SessionInfo(ctx) }, SessionInfo{TimeoutSeconds: 1800}, "GET /api/sessions"},
		{"RenewSession", func() (any, error) { return nil, w.RenewSession(ctx) }, nil, "PUT /api/sessions"},
		{"SessionUser", func() (any, error) { return w.SessionUser(ctx) }, SessionUser{ID: "54F3D26011D2896560009A8E67019608", FullName: "Administrator", Initials: "A"}, "GET /api/sessions/userInfo"},
		{"SessionPrivilege", func() (any, error) { return w.SessionPrivilege(ctx, 1) }, SessionPrivilege{ID: 1, Name: "Create application objects", UserLevelAllowed: true, ProjectsAllowed: 1}, "GET /api/sessions/privileges/1"},
		{"Catalogue", func() (any, error) { return w.Catalogue(ctx) }, []Privilege{
			{ID: 1, Name: "Create application objects", Description: "d", Categories: []string{"Server - Intelligence"}, ProjectLevel: true},
			{ID: 53, Name: "Monitor Database Connections"}}, "GET /api/iserver/privileges"},
		{"List users", func() (any, error) {
			return w.List(User, Query{LoginBegins: "de&mo", NameBegins: "D"}).Page(ctx, 5, 10)
		}, Page{Rows: []PrincipalRow{{Kind: User, ID: demoUser, Name: "Demo User", Login: "demo", Enabled: Yes}}, Total: 1},
			"GET /api/users?abbreviationBegins=de%26mo&fields=id,name,abbreviation,username,enabled&limit=10&nameBegins=D&offset=5"},
		{"List groups", func() (any, error) { return w.List(Group, Query{NameBegins: "User"}).First(ctx) },
			Page{Rows: []PrincipalRow{{Kind: Group, ID: userAdmins, Name: "User Administrators"}}, Total: 1},
			"GET /api/usergroups?fields=id,name&limit=1000&nameBegins=User&offset=0"},
		{"Members", func() (any, error) { return w.Members(userAdmins, true).Page(ctx, 0, 4) }, Page{Total: 4, Rows: []PrincipalRow{
			{Kind: User, ID: demoUser, Name: "Demo User", Login: "demo", Enabled: No},
			{Kind: Group, ID: sysAdmins, Name: "System Administrators"},
			{Kind: Group, ID: "C2E4DA4A411B972B063FE8A583989959", Name: "Web"},
			{Kind: User, ID: "0AA72D6042B938FF3FBED3AAC39349F5", Name: "Someone"}}},
			"GET /api/usergroups/17CD5CDB43085A8A52533B86A05DCB3A/members?fields=id,name,subtype,abbreviation,username,enabled&flatMembers=true&limit=4&offset=0"},
		{"Principal user", func() (any, error) { return w.Principal(ctx, User, demoUser) },
			PrincipalRow{Kind: User, ID: demoUser, Name: "Demo User", Login: "demo", Enabled: Yes, Memberships: []ObjectRef{everyone, admins}},
			"GET /api/users/6C9DFE134D0F8764893B469525E38EB0?fields=id,name,abbreviation,username,enabled,subtype,memberships"},
		{"Memberships user", func() (any, error) { return w.Memberships(ctx, User, demoUser) }, []ObjectRef{everyone, admins},
			"GET /api/users/6C9DFE134D0F8764893B469525E38EB0?fields=id,memberships"},
		{"Memberships group", func() (any, error) { return w.Memberships(ctx, Group, userAdmins) }, []ObjectRef{{ID: sysAdmins, Name: "System Administrators"}},
			"GET /api/usergroups/17CD5CDB43085A8A52533B86A05DCB3A/memberships"},
		{"Held project", func() (any, error) { return w.Held(ctx, Group, userAdmins, LevelProject) }, []Held{},
			"GET /api/usergroups/17CD5CDB43085A8A52533B86A05DCB3A/privileges?privilege.level=project"},
		{"Held all", func() (any, error) { return w.Held(ctx, Group, userAdmins, LevelAll) }, []Held{},
			"GET /api/usergroups/17CD5CDB43085A8A52533B86A05DCB3A/privileges"},
		{"Queue", func() (any, error) { return w.Queue(ctx, "9E4799C94823E297DAC9808357575AF5") },
			QueueEntry{ID: "9E4799C94823E297DAC9808357575AF5", Status: 3, Progress: 100}, "GET /api/iserver/queues/9E4799C94823E297DAC9808357575AF5"},
		{"SubmitCommand", func() (any, error) { return w.SubmitCommand(ctx, 1) }, "9E4799C94823E297DAC9808357575AF5", "POST /api/iserver/metadata/commands?commandId=1"},
	}
	for _, test := range tests {
		got, err := test.call()
		if err != nil {
			t.Errorf("%s = %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", test.name, diff)
		}
		log := f.requests()
		if sent := log[len(log)-1]; sent != test.sent {
			t.Errorf("%s sent\n%s, want\n%s", test.name, sent, test.sent)
		}
	}
}

// An answer of 200 that is not what it should be is refused, after retries, and
// never read as "nothing".
func TestReadsRefuseOddAnswers(t *testing.T) {
	row := `"id":"6C9DFE134D0F8764893B469525E38EB0","name":"Demo User"`
	always := []string{``, `null`, `[{}]`, `{"a":`, `"x"`, `<html></html>`, `{"code":"ERR001","message":"oops"}`}
	tests := []struct {
		name, pattern string
		call          func(r *Reader) error
		bodies        []string
	}{
		{"SessionUser", "GET /api/sessions/userInfo", func(r *Reader) error { _, err := r.SessionUser(t.Context()); return err },
			[]string{`{}`, `{"id":"17CD"}`}},
		{"SessionPrivilege", "GET /api/sessions/privileges/{id}", func(r *Reader) error { _, err := r.SessionPrivilege(t.Context(), 1); return err },
			[]string{`{}`, `{"id":"1"}`, `{"id":"2","isUserLevelAllowed":true}`}},
		{"Catalogue", "GET /api/iserver/privileges", func(r *Reader) error { _, err := r.Catalogue(t.Context()); return err },
			[]string{`{}`, `[]`, `[{"id":"1","name":"a"}]`, `[{"id":"1","name":"","isProjectLevelPrivilege":true}]`,
				`[{"id":"1","name":"a","isProjectLevelPrivilege":true},{"id":1,"name":"b","isProjectLevelPrivilege":true}]`}},
		{"List", "GET /api/usergroups", func(r *Reader) error { _, err := r.List(Group, Query{}).Page(t.Context(), 0, 1); return err },
			[]string{`{}`, `{"groups":[]}`, `[{"id":"6C9DFE134D0F8764893B469525E38EB0"}]`, `[{"id":"6C9D","name":"x"}]`, `[{` + row + `,"enabled":"yes"}]`, `[{` + row + `,"name":"again"}]`, `[{` + row + `}`}},
		{"Members", "GET /api/usergroups/{id}/members", func(r *Reader) error {
			_, err := r.Members(userAdmins, false).Page(t.Context(), 0, 1)
			return err
		}, []string{`{}`}},
		{"Principal", "GET /api/users/{id}", func(r *Reader) error { _, err := r.Principal(t.Context(), User, demoUser); return err },
			[]string{`{}`, `{"id":"17CD5CDB43085A8A52533B86A05DCB3A","name":"another"}`, `{` + row + `,"subtype":8705}`, `{` + row + `,"memberships":null}`, `{` + row + `,"memberships":[{"name":"x"}]}`}},
		{"Memberships user", "GET /api/users/{id}", func(r *Reader) error { _, err := r.Memberships(t.Context(), User, demoUser); return err },
			[]string{`{}`, `{` + row + `}`, `{"memberships":null}`, `{"memberships":[],"memberships":[]}`}},
		{"Memberships group", "GET /api/usergroups/{id}/memberships", func(r *Reader) error { _, err := r.Memberships(t.Context(), Group, userAdmins); return err },
			[]string{`{}`, `{"memberships":{}}`}},
		{"Held", "GET /api/users/{id}/privileges", func(r *Reader) error { _, err := r.Held(t.Context(), User, demoUser, LevelServer); return err },
			[]string{`{}`, `{"privileges":null}`}},
		{"Queue", "GET /api/iserver/queues/{id}", func(r *Reader) error { _, err := r.Queue(t.Context(), "A1"); return err },
			[]string{`{}`, `{"status":"3"}`, `[]`, `{"status":3.0}`, `{"status":99999999999999999999}`, `{"status":3,"status":3}`, `{"status":3,"Status":1}`, `{"sta_tus":3}`, `{"sta-tus":3}`, `{"status":3}x`, `{"status":3}{}`, `{"status":3`}},
		{"Status", "GET /api/status", func(r *Reader) error { _, err := r.Status(t.Context()); return err },
			[]string{`{}`}},
		{"SessionInfo", "GET /api/sessions", func(r *Reader) error { _, err := r.SessionInfo(t.Context()); return err },
			[]string{`[]`}},
	}
	for _, test := range tests {
		f := newFake(t)
		body := ""
		f.handle(test.pattern, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
		r := f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
		for _, body = range append(test.bodies, always...) {
			err := test.call(r)
			var e *Error
			if !errors.As(err, &e) || e.Status != 200 {
				t.Errorf("%s of %q = %v, want an *Error with status 200", test.name, body, err)
			} else if !errors.Is(err, ErrIncomplete) && !(test.name == "Status" && strings.HasPrefix(body, "<")) {
				t.Errorf("%s of %q = %v, want an error that matches ErrIncomplete", test.name, body, err)
			}
			if strings.Contains(body, "ERR001") && e != nil && e.Code != "ERR001" {
				t.Errorf("%s of %q = %v, want the error inside it shown", test.name, body, err)
			}
		}
	}
}

func TestReadsRefuseOddArguments(t *testing.T) {
	f := newFake(t)
	w := f.writer(t)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"lower case id":    func() error { _, err := w.Held(ctx, User, "6c9dfe134d0f8764893b469525e38eb0", LevelServer); return err },
		"path in an id":    func() error { _, err := w.Principal(ctx, Group, "../../../../../../../../../../x"); return err },
		"empty id":         func() error { _, err := w.Memberships(ctx, User, ""); return err },
		"kind":             func() error { _, err := w.Principal(ctx, "role", demoUser); return err },
		"kind of a list":   func() error { _, err := w.List("", Query{}).Page(ctx, 0, 1); return err },
		"group of members": func() error { _, err := w.Members("x", true).Page(ctx, 0, 1); return err },
		"level":            func() error { _, err := w.Held(ctx, User, demoUser, "Server"); return err },
		"privilege":        func() error { _, err := w.SessionPrivilege(ctx, 0); return err },
		"queue":            func() error { _, err := w.Queue(ctx, "a/../b"); return err },
		"command":          func() error { _, err := w.SubmitCommand(ctx, 0); return err },
		"empty change":     func() error { return w.PatchPrivileges(ctx, User, demoUser, PrivilegePatch{Comment: "x"}) },
		"add and remove": func() error {
			return w.PatchPrivileges(ctx, User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}, Remove: []PrivilegeID{2}})
		},
		"privilege too high": func() error { return w.PatchPrivileges(ctx, User, demoUser, PrivilegePatch{Add: []PrivilegeID{65536}}) },
		"id of a change":     func() error { return w.PatchPrivileges(ctx, User, "x", PrivilegePatch{Add: []PrivilegeID{2}}) },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := f.count(""); n != 1 {
		t.Errorf("%d requests were sent, want the login alone", n)
	}
}

func TestObjectIDValid(t *testing.T) {
	good := ObjectID("0123456789ABCDEF0123456789ABCDEF")
	for _, id := range []ObjectID{"", good[1:], good + "0", "0123456789abcdef0123456789abcdef", "G" + good[1:], "/" + good[1:], ":" + good[1:], "@" + good[1:]} {
		if id.Valid() {
			t.Errorf("%q is valid", id)
		}
	}
	if !good.Valid() || !EveryoneGroup.Valid() {
		t.Errorf("%s or %s is not valid", good, EveryoneGroup)
	}
}

// Entries without a number or a level are left out and one without a name is there by
// its number; what is odd is told of each. All others are there, by either member for
// the level.
func TestOddCatalogue(t *testing.T) {
	f := newFake(t)
	f.answer("GET /api/iserver/privileges", `[{"id":"1","name":"a","isProjectLevelPrivilege":true},{"id":"2","name":" ","isProjectLevelPrivilege":true},
		{"name":"none","isProjectLevelPrivilege":false},{"id":"4","name":"c"},{"id":5,"name":"b","level":"server"},{"id":"x","name":"d","level":"server"},
		{"id":"5","name":"b","level":"server"}]`)
	r := f.reader(t)
	for range 2 {
		got, err := r.Catalogue(t.Context())
		if err != nil || len(got) != 3 || got[0].ID != 1 || !got[0].ProjectLevel || got[1].ID != 2 || got[1].Name != "" || got[2].ID != 5 || got[2].ProjectLevel {
			t.Errorf("Catalogue = %+v, %v", got, err)
		}
		want := []string{"entry 2 (2) has no name", `entry 3 ("none") has no number`, `entry 4 (4 "c") has no level`, `entry 6 (x "d") has no number`, `entry 7 (5 "b") stands twice`}
		odd := r.OddPrivileges()
		for i, o := range odd {
			if i < len(want) && o.String() != want[i] || o.Kept != (i == 0) {
				t.Errorf("OddPrivileges[%d] = %+v %q, want %q", i, o, o, want[i])
			}
		}
		if len(odd) != len(want) {
			t.Errorf("OddPrivileges = %v, want %q", odd, want)
		}
	}
	f = newFake(t)
	f.answer("GET /api/iserver/privileges", `[{"id":"1","name":"a","level":"server"},{"id":"1","name":"b","level":"server"}]`)
	r = f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
	if _, err := r.Catalogue(t.Context()); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "privilege 1 stands twice") {
		t.Errorf("one number with two names: %v", err)
	}
}

// Some installations tell nobody their versions; that is no error.
func TestRefusedStatus(t *testing.T) {
	for _, code := range []int{401, 403} {
		f := newFake(t)
		f.handle("GET /api/status", func(w http.ResponseWriter, r *http.Request) { apiError(w, code, "ERR009", "no") })
		if got, err := f.reader(t).Status(t.Context()); err != nil || got != (Status{}) {
			t.Errorf("Status = %+v, %v", got, err)
		}
		if f.logins != 1 {
			t.Errorf("%d logins", f.logins)
		}
		if _, err := ServerStatus(t.Context(), f.config()); !IsStatusRefused(err) {
			t.Errorf("ServerStatus = %v", err)
		}
	}
}

// What stands in an answer before the place where it breaks is not returned: some
// callers go on without the answer.
func TestBrokenAnswerGivesNothing(t *testing.T) {
	f := newFake(t)
	body := ""
	f.handle("GET /api/status", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
	r := f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
	const version = `{"iServerVersion":"11.4","webVersion":"11.4"`
	for _, body = range []string{version, version + `}x`, version + `}{}`, version + `,"clusterEnabled":false,"webVersion":"1"}`} {
		if got, err := r.Status(t.Context()); !errors.Is(err, ErrIncomplete) || got != (Status{}) {
			t.Errorf("Status of %s = %+v, %v", body, got, err)
		}
	}
}
