package mstrtest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
)

func sprint(v any) string { return fmt.Sprint(v) }

func TestRoutes(t *testing.T) {
	s := NewServer(example(t), Options{Quirks: Quirks{Without: []Endpoint{GroupMembers}}})
	c := admin(t, s)
	for _, tc := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/api/nothing", 404, "ERR004"},
		{"GET", "/api/users/X/nothing", 404, "ERR004"},
		{"GET", "/api/usergroups/X/nothing", 404, "ERR004"},
		{"GET", "/api/usergroups/" + string(UserAdministratorsGroup) + "/members", 404, "ERR004"},
		{"GET", "/api/auth/login", 405, "ERR001"},
		{"DELETE", "/api/users/" + string(demoID), 405, "ERR001"},
		{"GET", "/api/users/FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", 404, "ERR004"},
		{"GET", "/api/usergroups/" + string(demoID), 404, "ERR004"},
		{"GET", "/api/users/" + string(UserAdministratorsGroup), 404, "ERR004"},
		{"GET", "/api/sessions/privileges/9999", 404, "ERR004"},
		{"GET", "/api/sessions/privileges/x", 404, "ERR004"},
		{"GET", "/api/iserver/queues/X", 404, "ERR004"},
		{"GET", "/api/users?limit=x", 400, "ERR006"},
		{"GET", "/api/users?offset=-1", 400, "ERR006"},
		{"GET", "/api/users/" + string(demoID) + "/privileges?privilege.level=x", 400, "ERR006"},
		{"POST", "/api/iserver/metadata/commands", 400, "ERR006"},
		{"POST", "/api/iserver/metadata/commands?commandId=2", 400, "ERR006"},
	} {
		a := c.do(tc.method, tc.path, "")
		f := a.failure(t)
		if a.status != tc.status || f.Code != tc.code || len(f.TicketID) != 32 || f.Message == "" {
			t.Errorf("%s %s = %d %+v, want %d %s with a message and a ticket", tc.method, tc.path, a.status, f, tc.status, tc.code)
		}
		if missing := f.Message == "HTTP 404 Not Found"; missing != (strings.Contains(tc.path, "nothing") || strings.HasSuffix(tc.path, "/members")) {
			t.Errorf("%s %s: message %q: a missing route and a missing object must differ", tc.method, tc.path, f.Message)
		}
	}
	for _, path := range []string{"/", "/elsewhere/api/users"} {
		c.base = "http://server.example"
		a := c.get(path)
		if a.status != 200 || !strings.Contains(a.header.Get("Content-Type"), "html") || !strings.Contains(a.body, "<html>") {
			t.Errorf("GET %s = %d %s, want a page with 200", path, a.status, a.body)
		}
	}
	a := c.get(s.PathPrefix() + "/index.html")
	if a.status != 200 || !strings.Contains(a.body, "<html>") {
		t.Errorf("beside the API: %d %s, want a page with 200", a.status, a.body)
	}
}

func TestPathPrefix(t *testing.T) {
	for prefix, want := range map[string]string{"": "/MicroStrategyLibrary", "/": "", "x/y/": "/x/y", "/consume-dev": "/consume-dev"} {
		s := NewServer(example(t), Options{PathPrefix: prefix})
		if got := s.PathPrefix(); got != want {
			t.Errorf("PathPrefix(%q) = %q, want %q", prefix, got, want)
		}
		admin(t, s).want(200, "GET", "/api/sessions/userInfo", "")
	}
}

func TestLoginModes(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := dial(t, s)
	for _, tc := range []struct {
		body   string
		status int
		user   string
	}{
		{`{"loginMode":1,"username":"ADMINISTRATOR","password":""}`, 204, "Administrator"},
		{`{"username":"svc_privsync","password":"privsync"}`, 204, "Privilege Synchronisation"},
		{`{"loginMode":16,"username":"svc_privsync","password":"privsync"}`, 204, "Privilege Synchronisation"},
		{`{"loginMode":4096,"username":"simulated-token-of-svc-pipeline"}`, 204, "Release Pipeline"},
		{`{"loginMode":8}`, 204, "Public / Guest"},
		{`{"loginMode":1,"username":"svc_privsync","password":"wrong"}`, 401, ""},
		{`{"loginMode":1,"username":"nobody","password":""}`, 401, ""},
		{`{"loginMode":1,"username":"fdubois","password":""}`, 401, ""}, // disabled
		{`{"loginMode":4096,"username":"svc_pipeline"}`, 401, ""},
		{`{"loginMode":4096,"username":""}`, 401, ""},
		{`{"loginMode":2}`, 400, ""},
		{`{`, 400, ""},
	} {
		c.token = ""
		a := c.do("POST", "/api/auth/login", tc.body)
		if a.status != tc.status {
			t.Errorf("login %s = %d %s, want %d", tc.body, a.status, a.body, tc.status)
			continue
		}
		if tc.status == 204 {
			c.token = a.header.Get("X-MSTR-AuthToken")
			if got := c.get("/api/sessions/userInfo?fields=fullName").body; got != `{"fullName":"`+tc.user+`"}` {
				t.Errorf("login %s: user = %s, want %s", tc.body, got, tc.user)
			}
		} else if code := a.failure(t).Code; tc.status == 401 && code != "ERR003" {
			t.Errorf("login %s = %s, want ERR003", tc.body, code)
		}
	}
	for _, r := range s.Log() {
		if r.Endpoint == Login && r.Body != "" {
			t.Errorf("the log keeps a login's body: %+v", r)
		}
	}
}

func TestTokenAndAllCookiesAreNeeded(t *testing.T) {
	s := NewServer(example(t), Options{})
	login := func() (token string, cookies []*http.Cookie) {
		r := httptest.NewRequest("POST", s.PathPrefix()+"/api/auth/login", strings.NewReader(testdata(t, "login.json")))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result().Header.Get("X-MSTR-AuthToken"), w.Result().Cookies()
	}
	ask := func(token string, cookies ...*http.Cookie) int {
		r := httptest.NewRequest("GET", s.PathPrefix()+"/api/sessions", nil)
		r.Header.Set("X-MSTR-AuthToken", token)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	token, cookies := login()
	_, others := login()
	if len(cookies) < 2 {
		t.Fatalf("login set %d cookies, want a session's and a load balancer's", len(cookies))
	}
	if got := ask(token, cookies...); got != 200 {
		t.Errorf("token and cookies: %d, want 200", got)
	}
	for i := range cookies {
		if got := ask(token, cookies[i]); got != 401 {
			t.Errorf("only cookie %s: %d, want 401", cookies[i].Name, got)
		}
	}
	if got := ask(token, others...); got != 401 {
		t.Errorf("another session's cookies: %d, want 401", got)
	}
	if got := ask("", cookies...); got != 401 {
		t.Errorf("no token: %d, want 401", got)
	}
	if got := ask("x", cookies...); got != 401 {
		t.Errorf("unknown token: %d, want 401", got)
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := NewServer(example(t), Options{SessionTimeout: time.Minute, MaxSessions: 2, Now: func() time.Time { return now }})
	c, d := admin(t, s), admin(t, s)
	if got := decode[map[string]int](t, c.get("/api/sessions").body)["timeout"]; got != 60 {
		t.Errorf("timeout = %d, want 60", got)
	}
	a := dial(t, s).do("POST", "/api/auth/login", testdata(t, "login.json"))
	if a.status != 500 || a.failure(t).Code != "ERR002" {
		t.Errorf("third session = %d %s, want 500 ERR002", a.status, a.body)
	}
	now = now.Add(50 * time.Second)
	c.want(204, "PUT", "/api/sessions", "")
	now = now.Add(50 * time.Second)
	if n := s.OpenSessions(); n != 1 {
		t.Errorf("open sessions = %d, want 1: one was renewed, one idle", n)
	}
	c.want(200, "GET", "/api/sessions", "")
	if f := d.want(401, "GET", "/api/sessions", "").failure(t); f.Code != "ERR009" {
		t.Errorf("idle session: %+v, want ERR009", f)
	}
	now = now.Add(61 * time.Second)
	c.want(401, "GET", "/api/sessions", "")
	c.login("administrator", "")
	s.KillSessions()
	c.want(401, "GET", "/api/sessions", "")
	c.login("administrator", "")
	c.want(200, "GET", "/api/sessions", "")
	if err := s.SetEnabled(AdministratorUser, false); err != nil {
		t.Fatal(err)
	}
	c.want(401, "GET", "/api/sessions", "")
	if err := s.SetEnabled("X", true); err == nil {
		t.Error("SetEnabled of nobody: no error")
	}
}

func TestStatusNeedsNoLogin(t *testing.T) {
	s := NewServer(example(t), Options{IServerVersion: "11.5.0900.0001"})
	got := decode[map[string]any](t, dial(t, s).want(200, "GET", "/api/status", "").body)
	diff(t, "status", map[string]any{
		"webVersion": "11.4.0000.0100", "iServerVersion": "11.5.0900.0001", "clusterEnabled": false,
	}, got)
}

func TestLists(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	logins := func(path string) string {
		var out []string
		for _, r := range c.rows(path) {
			out = append(out, r.Abbreviation)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for path, want := range map[string]string{
		"/api/users?abbreviationBegins=demo":                     "demo",
		"/api/users?abbreviationBegins=MSANTOS":                  "msantos msantos2",
		"/api/users?abbreviationBegins=o%27neill":                "o'neill",
		"/api/users?abbreviationBegins=j.mu%C3%B1oz":             "j.muñoz",
		"/api/users?abbreviationBegins=ext_%3Fs":                 "ext_rsingh",
		"/api/users?abbreviationBegins=ext_*s":                   "ext_gkiss ext_rsingh",
		"/api/users?abbreviationBegins=?emo":                     "demo",
		"/api/users?abbreviationBegins=nobody":                   "",
		"/api/users?nameBegins=maria+santos":                     "msantos msantos2",
		"/api/users?nameBegins=*Santos&abbreviationBegins=*2":    "msantos2",
		"/api/users?nameBegins=Demo&id=" + string(demoID):        "demo",
		"/api/users?nameBegins=Other&id=" + string(demoID):       "",
		"/api/users?abbreviationBegins=x&id=" + string(demoID):   "",
		"/api/users?id=" + strings.ToLower(string(demoID)):       "demo",
		"/api/users?id=" + string(UserAdministratorsGroup):       "",
		"/api/users?offset=1000":                                 "",
		"/api/users?limit=0":                                     "",
		"/api/users?nameBegins=%zz&abbreviationBegins=demo":      "demo",
		"/api/users?%61bbreviationBegins=demo&%zz=1&nameBegins=": "demo",
	} {
		if got := logins(path); got != want {
			t.Errorf("GET %s = %q, want %q", path, got, want)
		}
	}
	all := c.rows("/api/users")
	if len(all) != 42 || all[0].Abbreviation == "" || all[0].Subtype != 8704 {
		t.Errorf("GET /api/users = %d rows, the first %+v", len(all), all[0])
	}
	groups := c.rows("/api/usergroups?nameBegins=Night")
	if len(groups) != 2 || groups[0].Name != "Night Shift" || groups[0].Subtype != 8705 {
		t.Errorf("groups = %+v, want Night Shift and its trainees", groups)
	}
	a := c.get("/api/users?offset=40&limit=1000&fields=id,name")
	if n := a.header.Get("X-Mstr-Total-Count"); n != "42" || len(decode[[]row](t, a.body)) != 2 {
		t.Errorf("last page: total %s, %s", n, a.body)
	}
	for _, r := range decode[[]map[string]any](t, a.body) {
		if len(r) != 2 {
			t.Errorf("fields=id,name gave %v", r)
		}
	}
}

func TestPageCap(t *testing.T) {
	s := NewServer(example(t), Options{PageCap: 10})
	c := admin(t, s)
	seen := make(map[string]bool)
	for offset := 0; offset < 42; {
		rows := c.rows("/api/users?limit=-1&offset=" + strconv.Itoa(offset))
		if len(rows) == 0 || len(rows) > 10 {
			t.Fatalf("page at %d has %d rows", offset, len(rows))
		}
		for _, r := range rows {
			seen[r.ID] = true
		}
		offset += len(rows)
	}
	if len(seen) != 42 {
		t.Errorf("%d users in all pages, want 42", len(seen))
	}
}

func TestMembers(t *testing.T) {
	names := func(c *client, path string) []string {
		out := []string{}
		for _, r := range c.rows(path) {
			out = append(out, r.Name)
		}
		return out
	}
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	ops := "/api/usergroups/" + string(DerivedID("group", "BI Operations"))
	diff(t, "direct members", []string{"Night Shift", "Haruka Sato", "Mats Lindqvist", "Rémi Fontaine"}, names(c, ops+"/members"))
	flat := []string{
		"Dervla Walsh", "Gabriela Martins", "Gergő Kiss", "Haruka Sato", "Ivan Kovač", "Lena Fischer",
		"Mats Lindqvist", "Nikhil Shah", "Owusu Mensah", "Rémi Fontaine", "Yui Tanaka",
	}
	diff(t, "flat members", flat, names(c, ops+"/members?flatMembers=true"))
	a := c.get(ops + "/members?flatMembers=true&limit=1&fields=id")
	if got := a.header.Get("X-MSTR-Total-Count"); got != "11" {
		t.Errorf("count of flat members = %s, want 11", got)
	}
	if n := len(c.rows("/api/usergroups/" + string(mstrapi.EveryoneGroup) + "/members?flatMembers=true")); n != 42 {
		t.Errorf("Everyone has %d members, want all 42 users", n)
	}
	diff(t, "parents", []string{"Contractors", "Data Engineering"},
		names(c, "/api/userGroups/"+string(DerivedID("group", "Nearshore Partners"))+"/memberships"))
	c.want(404, "GET", "/api/usergroups/X/memberships", "")
	c.want(404, "GET", "/api/usergroups/X/members", "")

	c = admin(t, NewServer(example(t), Options{Quirks: Quirks{FlatIgnored: true}}))
	if got := names(c, ops+"/members?flatMembers=true"); len(got) != 4 {
		t.Errorf("FlatIgnored: %v, want the direct members", got)
	}
	c = admin(t, NewServer(example(t), Options{Quirks: Quirks{FlatWithGroups: true}}))
	diff(t, "FlatWithGroups", append([]string{"Night Shift", "Night Shift Trainees"}, flat...), names(c, ops+"/members?flatMembers=true"))
}

func TestQuirks(t *testing.T) {
	with := func(q Quirks) *client { return admin(t, NewServer(example(t), Options{Quirks: q})) }
	if got := with(Quirks{EmptyUserList: true}).get("/api/users").body; got != "{}" {
		t.Errorf("EmptyUserList: %s", got)
	}
	c := with(Quirks{WholeRows: true})
	if r := c.rows("/api/users?limit=1")[0]; r.Username == "" || r.Enabled == nil {
		t.Errorf("WholeRows: %+v", r)
	}
	c = with(Quirks{})
	if r := c.rows("/api/users?limit=1")[0]; r.Username != "" || r.Enabled != nil || r.Abbreviation == "" {
		t.Errorf("without WholeRows: %+v", r)
	}
	if r := c.rows("/api/usergroups/" + string(mstrapi.EveryoneGroup) + "/members?flatMembers=true&limit=1")[0]; r.Username == "" || r.Enabled == nil {
		t.Errorf("without WholeRows: member row %+v, want it whole", r)
	}
	count := func(c *client, path string) []string { return c.get(path).header["X-Mstr-Total-Count"] }
	diff(t, "CountHeader", []string{"42"}, count(with(Quirks{CountHeader: "x-mstr-TOTAL-count"}), "/api/users"))
	diff(t, "NoCount", []string(nil), count(with(Quirks{NoCount: true}), "/api/users"))
	c = with(Quirks{NoCountWithID: true})
	diff(t, "NoCountWithID, without id", []string{"42"}, count(c, "/api/users"))
	diff(t, "NoCountWithID", []string(nil), count(c, "/api/users?id="+string(demoID)))
	c = with(Quirks{WrappedMemberships: true})
	a := c.get("/api/usergroups/" + string(DerivedID("group", "Night Shift Trainees")) + "/memberships?fields=name")
	sameJSON(t, "WrappedMemberships", `{"memberships":[{"name":"Night Shift"}]}`, a.body)
	c = dial(t, NewServer(example(t), Options{Quirks: Quirks{
		RefuseOwnPrivilege: true, LongZero: true, ErrorNumberKey: "IserverCode", WrappedErrors: true, SubErrors: true,
	}}))
	c.login("pgarcia", "")
	a = c.want(403, "GET", "/api/sessions/privileges/50", "")
	wrapped := decode[map[string][]map[string]any](t, a.body)["errors"]
	if len(wrapped) != 1 || wrapped[0]["code"] != "ERR0017" || wrapped[0]["IserverCode"] != -2147214568.0 || wrapped[0]["subErrors"] == nil {
		t.Errorf("error quirks: %s", a.body)
	}
	if a = c.get("/api/nothing"); !strings.Contains(a.body, `"ERR004"`) {
		t.Errorf("LongZero changed %s", a.body)
	}
}

func TestObjects(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	a := c.want(200, "GET", "/api/users/"+string(demoID)+"?fields=id,enabled,memberships", "")
	got := decode[map[string]any](t, a.body)
	if len(got) != 3 || len(got["memberships"].([]any)) != 5 {
		t.Errorf("fields of a user: %s", a.body)
	}
	a = c.want(200, "GET", "/api/usergroups/"+string(UserAdministratorsGroup), "")
	if got = decode[map[string]any](t, a.body); got["name"] != "User Administrators" || got["subtype"] != 8705.0 || got["username"] != nil {
		t.Errorf("group: %s", a.body)
	}
	a = c.want(200, "GET", "/api/users/"+string(demoID)+"/privileges?fields=nothing", "")
	sameJSON(t, "fields of privileges", "{}", a.body)
}

func TestSourceStyles(t *testing.T) {
	trainee := "/api/users/" + string(DerivedID("user", "ext_gkiss")) + "/privileges"
	for style, want := range map[SourceStyle]map[string][]string{
		Holder: {
			"51": {"Night Shift", "BI Operations"}, "52": {"BI Operations"}, "53": {"Night Shift"},
			"55": {"BI Operations"}, "57": {"Data Engineering"}, "59": {"IT Department"}, "143": {"Data Engineering"},
			"145": {"BI Operations"}, "155": {"Data Engineering"}, "181": {"Night Shift"},
		},
		Parent: {
			"51": {"Night Shift Trainees"}, "52": {"Night Shift Trainees"}, "53": {"Night Shift Trainees"},
			"55": {"Night Shift Trainees"}, "57": {"Nearshore Partners"}, "59": {"Nearshore Partners", "Night Shift Trainees"},
			"143": {"Nearshore Partners"}, "145": {"Night Shift Trainees"}, "155": {"Nearshore Partners"}, "181": {"Night Shift Trainees"},
		},
	} {
		c := admin(t, NewServer(example(t), Options{SourceStyle: style}))
		h := decode[held](t, c.want(200, "GET", trainee+"?privilege.level=server", "").body)
		got := h.sources()
		for id := range got {
			slices.Sort(got[id])
			slices.Sort(want[id])
		}
		diff(t, "sources in style "+strconv.Itoa(int(style)), want, got)
		for _, p := range h.Privileges {
			if p.Privilege.Level != "server" {
				t.Errorf("privilege %s has level %s", p.Privilege.ID, p.Privilege.Level)
			}
		}
	}
}

func TestDirectAndInheritedAtOnce(t *testing.T) {
	c := admin(t, NewServer(example(t), Options{}))
	h := decode[held](t, c.get("/api/users/"+string(DerivedID("user", "gmartins"))+"/privileges").body)
	diff(t, "sources of 53", []string{"Night Shift", "direct"}, h.sources()["53"])
}

func TestSecurityRoles(t *testing.T) {
	c := admin(t, NewServer(example(t), Options{}))
	path := "/api/users/" + string(DerivedID("user", "kbrandt")) + "/privileges?privilege.level=project"
	for query, want := range map[string]map[string][]string{
		"": {"11": {"role Report Designers"}, "44": {"MicroStrategy Web Professional", "role Normal Users"}},
		"&projectId=B7CA92F04B9FAE8D941C3E9B7E0CD754": {"11": {"role Report Designers"}, "44": {"MicroStrategy Web Professional", "role Normal Users"}},
		"&projectId=CE52831411E696C8BD2F0080EFD5AF44": {"11": nil, "44": {"MicroStrategy Web Professional"}},
	} {
		got := decode[held](t, c.get(path+query).body).sources()
		for id, sources := range want {
			diff(t, "sources of "+id+" with "+query, sources, got[id])
		}
	}
	c = dial(t, NewServer(example(t), Options{}))
	c.login("kbrandt", "")
	got := decode[struct {
		IsUserLevelAllowed bool
		Projects           []struct{ IsAllowed bool }
	}](t, c.get("/api/sessions/privileges/11").body)
	if got.IsUserLevelAllowed || !got.Projects[0].IsAllowed || got.Projects[1].IsAllowed {
		t.Errorf("own privilege by a role: %+v, want it in the first project only", got)
	}
}

func TestPatch(t *testing.T) {
	demo := "/api/users/" + string(demoID)
	group := "/api/usergroups/" + string(UserAdministratorsGroup)
	body := func(ops string) string { return `{"operationList":[` + ops + `]}` }
	comment := `{"op":"add","path":"/changeJournal/userComments","value":"run 7"}`
	add54 := `{"op":"add","path":"/privileges","value":[54]}`
	for _, tc := range []struct {
		name, version, path, body string
		status                    int
		direct                    string
	}{
		{"strings", "", demo, body(`{"op":"add","path":"/privileges","value":["2","54"]}`), 200, "[2 53 54]"},
		{"again", "", demo, body(`{"op":"add","path":"/privileges","value":[53]}`), 200, "[53]"},
		{"not there", "", demo, body(`{"op":"remove","path":"/privileges","value":[54,2]}`), 200, "[53]"},
		{"add, then remove", "", demo, body(add54 + `,{"op":"remove","path":"/privileges","value":[54]}`), 200, "[53]"},
		{"remove, then add", "", demo, body(`{"op":"remove","path":"/privileges","value":[53]},{"op":"add","path":"/privileges","value":[53]}`), 200, "[53]"},
		{"unknown privilege", "", demo, body(`{"op":"add","path":"/privileges","value":[54,9999]}`), 400, "[53]"},
		{"no number", "", demo, body(`{"op":"add","path":"/privileges","value":["x"]}`), 400, "[53]"},
		{"null", "", demo, body(`{"op":"add","path":"/privileges","value":[null]}`), 400, "[53]"},
		{"fraction", "", demo, body(`{"op":"add","path":"/privileges","value":[2.5]}`), 400, "[53]"},
		{"no list", "", demo, body(`{"op":"add","path":"/privileges","value":54}`), 400, "[53]"},
		{"no value", "", demo, body(`{"op":"add","path":"/privileges"}`), 400, "[53]"},
		{"unknown op", "", demo, body(`{"op":"merge","path":"/privileges","value":[54]}`), 400, "[53]"},
		{"replace", "", demo, body(`{"op":"replace","path":"/privileges","value":[54]}`), 400, "[53]"},
		{"mixed", "", demo, body(add54 + `,{"op":"add","path":"/memberships","value":["X"]}`), 400, "[53]"},
		{"another path", "", demo, body(`{"op":"replace","path":"/enabled","value":false}`), 400, "[53]"},
		{"empty list", "", demo, body(``), 400, "[53]"},
		{"not JSON", "", demo, `{`, 400, "[53]"},
		{"comment too early", "11.5.0899.9999", demo, body(add54 + "," + comment), 400, "[53]"},
		{"comment", "11.5.0900.0001", demo, body(add54 + "," + comment), 200, "[53 54]"},
		{"comment, newer", "12.0", demo, body(add54 + "," + comment), 200, "[53 54]"},
		{"comment, version unreadable", "x", demo, body(add54 + "," + comment), 400, "[53]"},
		{"comment removed", "11.5.0900.0001", demo, body(`{"op":"remove","path":"/changeJournal/userComments","value":"x"}`), 400, "[53]"},
		{"group comment too early", "11.5.0900.0001", group, body(add54 + "," + comment), 400, "[2]"},
		{"group comment", "11.5.1100", group, body(add54 + "," + comment), 200, "[2 54]"},
		{"unknown user", "", "/api/users/FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", body(add54), 404, ""},
		{"a group is no user", "", "/api/users/" + string(UserAdministratorsGroup), body(add54), 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewServer(example(t), Options{IServerVersion: tc.version})
			c := admin(t, s)
			a := c.want(tc.status, "PATCH", tc.path+"?fields=id", tc.body)
			id := tc.path[strings.LastIndex(tc.path, "/")+1:]
			if tc.status == 200 {
				sameJSON(t, "answer", `{"id":"`+id+`"}`, a.body)
			} else if tc.status == 400 && a.failure(t).Code != "ERR006" {
				t.Errorf("answer = %s, want ERR006", a.body)
			}
			if tc.direct != "" {
				diff(t, "direct grants", tc.direct, sprint(s.Direct(mstrapi.ObjectID(id))))
			}
			if mixed := strings.Contains(a.body, "cannot be mixed"); mixed != (tc.name == "mixed") {
				t.Errorf("answer = %s", a.body)
			}
			commented := tc.status == 200 && strings.Contains(tc.body, "run 7")
			journal := s.Journal()
			if (len(journal) == 1) != commented {
				t.Errorf("journal = %+v", journal)
			} else if commented && (journal[0].Comment != "run 7" || journal[0].User != "administrator" || string(journal[0].Principal) != id) {
				t.Errorf("journal = %+v", journal)
			}
		})
	}
}

func TestOnlyUserManagersSeeAndChangePrivileges(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := dial(t, s)
	c.login("svc_privsync", "privsync")
	demo := "/api/users/" + string(demoID)
	c.want(200, "GET", demo+"/privileges", "")
	c.want(200, "PATCH", demo, testdata(t, "patch.json"))
	// Rights are those of the moment, not those at the login.
	if err := s.Revoke(DerivedID("user", "svc_privsync"), 50); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{{"GET", demo + "/privileges"}, {"PATCH", demo}, {"GET", "/api/usergroups/" + string(UserAdministratorsGroup) + "/privileges"}} {
		f := c.want(403, r[0], r[1], `{"operationList":[]}`).failure(t)
		if f.Code != "ERR017" || f.IServerCode != -2147214568 {
			t.Errorf("%s %s: %+v, want ERR017 and the server's number", r[0], r[1], f)
		}
	}
	own := func() bool {
		return decode[map[string]any](t, c.want(200, "GET", "/api/sessions/privileges/50", "").body)["isUserLevelAllowed"].(bool)
	}
	if own() {
		t.Error("the privilege is still allowed")
	}
	// Through a group it counts as well.
	if err := s.Grant(mstrapi.EveryoneGroup, 50); err != nil {
		t.Fatal(err)
	}
	c.want(200, "GET", demo+"/privileges", "")
	if !own() {
		t.Error("the privilege is not allowed")
	}
}

func TestQueue(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want []map[string]int
	}{
		"two polls": {Options{QueuePolls: 2}, []map[string]int{{"status": 2, "progress": 50, "iServerErrorCode": 0}, {"status": 3, "progress": 100, "iServerErrorCode": 0}}},
		"failure":   {Options{QueuePolls: 1, QueueError: -7}, []map[string]int{{"status": 4, "progress": 100, "iServerErrorCode": -7}}},
		"endless": {Options{QueuePolls: 1, QueueEndless: true}, []map[string]int{
			{"status": 2, "progress": 99, "iServerErrorCode": 0}, {"status": 2, "progress": 99, "iServerErrorCode": 0}}},
	} {
		c := admin(t, NewServer(example(t), tc.o))
		link := decode[map[string]map[string]string](t, c.want(200, "POST", "/api/iserver/metadata/commands?commandId=1", "").body)["link"]
		for _, want := range tc.want {
			diff(t, name, want, decode[map[string]int](t, c.want(200, "GET", "/api/iserver"+link["href"], "").body))
		}
	}
}

func TestLog(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	demo := "/api/users/" + string(demoID)
	c.want(200, "PATCH", demo+"?fields=id", testdata(t, "patch.json"))
	c.want(200, "PATCH", demo, testdata(t, "patch.json"))
	log := s.Log()
	if len(log) != 3 || log[0].N != 1 || log[2].N != 3 {
		t.Fatalf("log = %+v", log)
	}
	r := log[1]
	r.Time = time.Time{}
	diff(t, "second request", Request{
		N: 2, Method: "PATCH", Path: demo, Query: "fields=id", Endpoint: PatchUser, Status: 200, User: "administrator",
		Body: testdata(t, "patch.json"), Applied: true, Target: demoID,
		Granted: []mstrapi.PrivilegeID{2, 54}, Revoked: []mstrapi.PrivilegeID{53},
	}, r)
	if w := s.Writes(); len(w) != 1 || w[0].N != 2 {
		t.Errorf("writes = %+v, want the first PATCH: the second changed nothing", w)
	}
	diff(t, "counts", map[Endpoint]int64{Login: 1, PatchUser: 2}, s.Counts())
	if n := s.Requests(); n != 3 {
		t.Errorf("requests = %d, want 3", n)
	}
	s.ResetLog()
	if len(s.Log()) != 0 || s.Requests() != 0 {
		t.Error("ResetLog left something")
	}
	s = NewServer(example(t), Options{NoLog: true})
	admin(t, s).want(200, "PATCH", demo, testdata(t, "patch.json"))
	if len(s.Log()) != 0 || s.Counts()[PatchUser] != 1 {
		t.Errorf("NoLog: %v %v", s.Log(), s.Counts())
	}
}

func TestHooks(t *testing.T) {
	s := NewServer(example(t), Options{})
	var statuses []int
	s.OnRequest(func(n int, r *http.Request) {
		if n == 2 {
			if err := s.Grant(demoID, 54); err != nil {
				t.Error(err)
			}
		}
	})
	s.OnResponse(func(n int, r *http.Request, status int) { statuses = append(statuses, status) })
	c := admin(t, s)
	h := decode[held](t, c.get("/api/users/"+string(demoID)+"/privileges").body)
	diff(t, "54 granted meanwhile", []string{"direct"}, h.sources()["54"])
	diff(t, "statuses", []int{204, 200}, statuses)
}

func TestListThatChangesWhileItIsPaged(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	first := c.rows("/api/users?limit=20")
	if err := s.RemoveUser(mstrapi.ObjectID(first[1].ID)); err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser(User{ID: DerivedID("user", "zz"), Login: "zz", Name: "ZZ"}); err != nil {
		t.Fatal(err)
	}
	a := c.get("/api/users?offset=20&limit=100")
	rows := decode[[]row](t, a.body)
	if a.header.Get("X-MSTR-Total-Count") != "42" || len(rows) != 22 {
		t.Fatalf("rest: %s, %d rows", a.header.Get("X-MSTR-Total-Count"), len(rows))
	}
	ids := make(map[string]bool)
	for _, r := range append(first, rows...) {
		ids[r.ID] = true
	}
	if len(ids) != 42 || ids[string(DerivedID("user", "zz"))] != true {
		t.Errorf("%d ids", len(ids))
	}
	s = NewServer(example(t), Options{})
	c = admin(t, s)
	if err := s.SetGroups(demoID); err != nil {
		t.Fatal(err)
	}
	diff(t, "effective without groups", []mstrapi.PrivilegeID{30, 53, 90}, s.Effective(demoID))
	night := DerivedID("group", "Night Shift Trainees")
	if err := s.SetGroups(night, UserAdministratorsGroup); err != nil {
		t.Fatal(err)
	}
	diff(t, "inherited by the group", []mstrapi.PrivilegeID{2}, s.Inherited(night))
	if err := s.SetGroups(mstrapi.EveryoneGroup, DerivedID("group", "Employees")); err == nil {
		t.Error("a cycle of groups: no error")
	}
	for _, err := range []error{
		s.SetGroups("X"), s.RemoveUser("X"), s.Grant("X", 2), s.Grant(demoID, 9999), s.Revoke("X", 2),
		s.AddUser(User{ID: demoID, Login: "demo2"}),
	} {
		if err == nil {
			t.Error("an impossible edit: no error")
		}
	}
	if s.Direct("X") != nil || s.Effective("X") != nil || s.Inherited("X") != nil {
		t.Error("nobody holds something")
	}
	if err := s.RemoveUser(AdministratorUser); err != nil {
		t.Fatal(err)
	}
	c.want(401, "GET", "/api/sessions", "")
}

// naiveEffective computes what a principal holds straight from the definition.
func naiveEffective(env *Environment, id mstrapi.ObjectID) map[mstrapi.PrivilegeID]bool {
	out := make(map[mstrapi.PrivilegeID]bool)
	var visit func(direct []mstrapi.PrivilegeID, groups []mstrapi.ObjectID)
	visit = func(direct []mstrapi.PrivilegeID, groups []mstrapi.ObjectID) {
		for _, p := range direct {
			out[p] = true
		}
		for _, parent := range groups {
			for _, g := range env.Groups {
				if g.ID == parent {
					visit(g.Privileges, g.Groups)
				}
			}
		}
	}
	for _, g := range env.Groups {
		if g.ID == id {
			visit(g.Privileges, g.Groups)
		}
	}
	for _, u := range env.Users {
		if u.ID == id {
			visit(u.Privileges, append([]mstrapi.ObjectID{mstrapi.EveryoneGroup}, u.Groups...))
		}
	}
	return out
}

// naiveSources computes the sources of everything that a user holds straight
// from the definition of the style.
func naiveSources(env *Environment, user mstrapi.ObjectID, style SourceStyle) map[string][]string {
	type source struct {
		id   mstrapi.ObjectID
		name string
	}
	groups := make(map[mstrapi.ObjectID]Group)
	for _, g := range env.Groups {
		groups[g.ID] = g
	}
	u := env.Users[slices.IndexFunc(env.Users, func(u User) bool { return u.ID == user })]
	parents := u.Groups
	if !slices.Contains(parents, mstrapi.EveryoneGroup) {
		parents = append(slices.Clone(parents), mstrapi.EveryoneGroup)
	}
	found := make(map[mstrapi.PrivilegeID]map[source]bool)
	put := func(p mstrapi.PrivilegeID, g Group) {
		if found[p] == nil {
			found[p] = make(map[source]bool)
		}
		found[p][source{g.ID, g.Name}] = true
	}
	var climb func(id mstrapi.ObjectID)
	climb = func(id mstrapi.ObjectID) {
		for _, p := range groups[id].Privileges {
			put(p, groups[id])
		}
		for _, parent := range groups[id].Groups {
			climb(parent)
		}
	}
	for _, id := range parents {
		if style == Holder {
			climb(id)
			continue
		}
		for p := range naiveEffective(env, id) {
			put(p, groups[id])
		}
	}
	out := make(map[string][]string)
	for p, sources := range found {
		for _, s := range slices.SortedFunc(maps.Keys(sources), func(a, b source) int { return cmp.Compare(a.id, b.id) }) {
			out[p.String()] = append(out[p.String()], s.name)
		}
	}
	for _, p := range u.Privileges {
		out[p.String()] = append(out[p.String()], "direct")
	}
	return out
}

// TestRandomEnvironments compares the server's bookkeeping with the definition
// after every one of a series of random writes: effective privileges, the
// answers in both styles, losses, and losses in passing.
func TestRandomEnvironments(t *testing.T) {
	deepest := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		env := Random(rng, Size{})
		if err := env.Validate(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		deepest = max(deepest, nesting(env))
		s := NewServer(env, Options{SourceStyle: SourceStyle(seed % 2)})
		c := dial(t, s)
		c.login(ServiceLogin, ServicePassword)
		start := s.Snapshot()
		type step struct {
			n      int
			before *Snapshot
			after  *Snapshot
		}
		var steps []step
		for range 15 {
			kind, id := "users", mstrapi.ObjectID("")
			if rng.IntN(2) == 0 {
				kind, id = "usergroups", env.Groups[rng.IntN(len(env.Groups))].ID
			} else {
				id = env.Users[rng.IntN(len(env.Users))].ID
			}
			var add, remove []string
			for _, p := range env.Catalogue {
				switch {
				case p.ID == managerID:
				case rng.IntN(8) == 0:
					add = append(add, p.ID.String())
				case rng.IntN(4) == 0:
					remove = append(remove, p.ID.String())
				}
			}
			before := s.Snapshot()
			c.want(200, "PATCH", "/api/"+kind+"/"+string(id), fmt.Sprintf(
				`{"operationList":[{"op":"add","path":"/privileges","value":[%s]},{"op":"remove","path":"/privileges","value":[%s]}]}`,
				strings.Join(add, ","), strings.Join(remove, ",")))
			// Reading in between must not let an answer outlive a write.
			reader := env.Users[rng.IntN(len(env.Users))].ID
			answer := decode[held](t, c.want(200, "GET", "/api/users/"+string(reader)+"/privileges", "").body)
			diff(t, "sources", naiveSources(s.Environment(), reader, s.options.SourceStyle), answer.sources())
			log := s.Writes()
			if len(log) == 0 {
				continue
			}
			steps = append(steps, step{log[len(log)-1].N, before, s.Snapshot()})
		}
		now := s.Environment()
		final := s.Snapshot()
		wantLost := make(map[Loss]bool)
		wantPassing := make(map[Loss]bool)
		for _, st := range steps {
			for id, held := range st.before.Effective {
				for _, p := range held {
					if !st.after.holds(id, p) {
						l := Loss{Request: st.n, Principal: id, Privilege: p}
						wantLost[l] = true
						if start.holds(id, p) && final.holds(id, p) {
							wantPassing[l] = true
						}
					}
				}
			}
		}
		asSet := func(losses []Loss) map[Loss]bool {
			out := make(map[Loss]bool)
			for _, l := range losses {
				l.Kind = ""
				if out[l] {
					t.Errorf("seed %d: loss %+v twice", seed, l)
				}
				out[l] = true
			}
			return out
		}
		diff(t, "losses", wantLost, asSet(s.Losses()))
		diff(t, "losses in passing", wantPassing, asSet(s.LossesInPassing(nil)))
		diff(t, "losses in passing, given the end", wantPassing, asSet(s.LossesInPassing(final)))
		for id := range final.Effective {
			want := naiveEffective(now, id)
			got := s.Effective(id)
			for _, p := range got {
				if !want[p] {
					t.Errorf("seed %d: %s holds %d", seed, id, p)
				}
			}
			if len(got) != len(want) {
				t.Errorf("seed %d: %s holds %v, want %v\n%s", seed, id, got, want, s.Dump())
			}
			kind := "users"
			if slices.ContainsFunc(env.Groups, func(g Group) bool { return g.ID == id }) {
				kind = "usergroups"
			}
			sources := decode[held](t, c.want(200, "GET", "/api/"+kind+"/"+string(id)+"/privileges", "").body).sources()
			if len(sources) != len(want) {
				t.Errorf("seed %d: answer for %s has %d privileges with sources, want %d", seed, id, len(sources), len(want))
			}
		}
		if t.Failed() {
			return
		}
	}
	if deepest < 5 {
		t.Errorf("the deepest nesting of all is %d, want 5 or more", deepest)
	}
}

// nesting is the length of the longest chain of groups.
func nesting(env *Environment) int {
	depth := make(map[mstrapi.ObjectID]int)
	for range env.Groups {
		for _, g := range env.Groups {
			d := 1
			for _, parent := range g.Groups {
				d = max(d, depth[parent]+1)
			}
			depth[g.ID] = d
		}
	}
	deepest := 0
	for _, d := range depth {
		deepest = max(deepest, d)
	}
	return deepest
}

func TestLedgerAcrossRestructuring(t *testing.T) {
	s := NewServer(example(t), Options{})
	c := admin(t, s)
	demo := "/api/users/" + string(demoID)
	c.want(200, "PATCH", demo, `{"operationList":[{"op":"remove","path":"/privileges","value":[53]}]}`)
	if err := s.AddUser(User{ID: DerivedID("user", "zz"), Login: "zz", Name: "ZZ", Privileges: []mstrapi.PrivilegeID{54}}); err != nil {
		t.Fatal(err)
	}
	c.want(200, "PATCH", demo, `{"operationList":[{"op":"add","path":"/privileges","value":[53]}]}`)
	want := []Loss{{Request: 2, Kind: mstrapi.User, Principal: demoID, Privilege: 53}}
	diff(t, "losses in passing", want, s.LossesInPassing(nil))
	// What another administrator gives back is no loss in passing, directly or
	// through a group.
	revoke := `{"operationList":[{"op":"remove","path":"/privileges","value":[53,2]}]}`
	for _, restore := range []func() error{
		func() error { return s.Grant(demoID, 53) },
		func() error { return s.Grant(mstrapi.EveryoneGroup, 53) },
		func() error {
			if err := s.Grant(DerivedID("group", "Data Engineering"), 53); err != nil {
				return err
			}
			return s.SetGroups(demoID, DerivedID("group", "Data Engineering"), UserAdministratorsGroup)
		},
	} {
		s.ResetLedger()
		if err := s.Revoke(mstrapi.EveryoneGroup, 53); err != nil {
			t.Fatal(err)
		}
		if err := s.Grant(demoID, 53); err != nil {
			t.Fatal(err)
		}
		c.want(200, "PATCH", demo, revoke)
		if err := restore(); err != nil {
			t.Fatal(err)
		}
		if l := s.Losses(); len(l) != 1 || !slices.Contains(s.Effective(demoID), 53) {
			t.Errorf("losses = %+v, effective %v", l, s.Effective(demoID))
		}
		if l := s.LossesInPassing(nil); len(l) != 0 {
			t.Errorf("losses in passing = %+v, want none", l)
		}
		if err := s.SetGroups(demoID, SystemAdministratorsGroup); err != nil {
			t.Fatal(err)
		}
	}
	s.ResetLedger()
	if len(s.Losses()) != 0 {
		t.Error("ResetLedger left losses")
	}
	s = NewServer(example(t), Options{NoLedger: true})
	admin(t, s).want(200, "PATCH", demo, testdata(t, "patch.json"))
	if len(s.Losses()) != 0 {
		t.Error("NoLedger: losses")
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(example(t), Options{Latency: 20 * time.Millisecond})
		c := admin(t, s)
		start := time.Now()
		c.get("/api/users")
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("a request took %v, want 20ms", d)
		}
		if d := s.MeasuredLatency(); d != 20*time.Millisecond {
			t.Errorf("MeasuredLatency = %v, want 20ms", d)
		}
		s = NewServer(example(t), Options{Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
		if s.MeasuredLatency() != 0 {
			t.Error("latency measured before the first request")
		}
		c = admin(t, s)
		seen := make(map[time.Duration]bool)
		for range 50 {
			start := time.Now()
			c.get("/api/sessions")
			d := time.Since(start)
			if d < 10*time.Millisecond || d > 30*time.Millisecond {
				t.Errorf("a request took %v, want 20ms ± 10ms", d)
			}
			seen[d] = true
		}
		if len(seen) < 10 {
			t.Errorf("only %d different latencies", len(seen))
		}
	})
}

func TestConnectionsAreCounted(t *testing.T) {
	s := NewServer(example(t), Options{})
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = s.ConnState
	server.Start()
	defer server.Close()
	c := newClient(t, server.Client().Transport, server.URL+s.PathPrefix())
	c.login("administrator", "")
	c.get("/api/users")
	if n := s.Connections(); n != 1 {
		t.Errorf("connections = %d, want 1", n)
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"a", "A", true}, {"a", "ab", false}, {"a*", "ab", true}, {"?", "é", true}, {"?", "", false},
		{"*b*d", "abcd", true}, {"*b*d", "abcde", false}, {"**", "x", true}, {"a*b?", "axxbby", true}, {"a*b?", "axxb", false},
	} {
		if got := matches(tc.pattern, tc.text); got != tc.want {
			t.Errorf("matches(%q, %q) = %v, want %v", tc.pattern, tc.text, got, tc.want)
		}
	}
}
