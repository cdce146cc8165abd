package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// front stands before a server. With bare its lists tell no logins of users; once is
// the path of an object that it does not find the first time that it is asked for.
type front struct {
	server *mstrtest.Server
	bare   bool
	once   string
	asked  atomic.Bool
}

var loginMember = regexp.MustCompile(`"(abbreviation|username)":"[^"]*"`)

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.once != "" && strings.HasSuffix(r.URL.Path, f.once) && f.asked.CompareAndSwap(false, true) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"code":"ERR004","message":"not found"}`))
		return
	}
	if !f.bare || !strings.HasSuffix(r.URL.Path, "/api/users") {
		f.server.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	f.server.ServeHTTP(rec, r)
	for name, values := range rec.Header() {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(loginMember.ReplaceAll(rec.Body.Bytes(), []byte(`"$1":""`)))
}

// TestCommandsAndPoliciesFindTheSame: whom a name means, or why nobody, is the same for
// a command that is given it and for a policy that holds it, whether the policy needs
// the whole list of users or this name alone.
func TestCommandsAndPoliciesFindTheSame(t *testing.T) {
	t.Parallel()
	user := func(login, name string) mstrtest.User {
		return mstrtest.User{ID: mstrtest.DerivedID("user", login), Login: login, Name: name}
	}
	service := user(mstrtest.ServiceLogin, "Service")
	service.Password, service.Privileges = mstrtest.ServicePassword, []mstrapi.PrivilegeID{50}
	guest := user("guest", "Guest")
	guest.Guest = true
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 50, Name: "Use User Manager"}, {ID: 53, Name: "Monitor Jobs"}},
		Groups: []mstrtest.Group{
			{ID: mstrapi.EveryoneGroup, Name: "Everyone"},
			{ID: mstrapi.ObjectID(strings.Repeat("B", 32)), Name: "Finance", Tenant: "Bolt"},
			{ID: mstrapi.ObjectID(strings.Repeat("A", 32)), Name: "Finance", Tenant: "Acme"},
		},
		Users: []mstrtest.User{service, guest, user("kim", "Kim Kimball"), user("leaver", "Lea Ver"), user("ann", "Ann"), user("lea", "Lea")},
	}
	kim, leaver := mstrtest.DerivedID("user", "kim"), mstrtest.DerivedID("user", "leaver")
	object := func(id mstrapi.ObjectID) string { return "/api/users/" + string(id) }
	meansKim := `did you mean "kim"?`
	for _, c := range []struct {
		server     string // what is special about it
		kind, name string
		want       string
	}{
		{"", "user", "kim", string(kim)},
		{"", "user", "KIM", string(kim)},
		{"", "user", "\u212aim", string(kim)}, // equal without regard to case, and in no case the same
		{"", "user", "kmi", "none; " + meansKim},
		{"", "user", "kim\u00a0", "none; " + meansKim + " they differ in character 4: a no-break space (U+00A0), and nothing"},
		{"", "user", "Kim Kimball", "none; " + meansKim},
		{"", "user", "zoe", "none"},
		{"", "group", "finance", `none; did you mean "Finance"? they differ in character 1: "f" (U+0066), and "F" (U+0046)`},
		{"", "group", "Finance", `several; ` + strings.Repeat("A", 32) + ` (tenant "Acme"), ` + strings.Repeat("B", 32) + ` (tenant "Bolt")`},
		{"bare", "user", "Kim", string(kim)},
		{"bare", "user", "ki", "none; " + meansKim},
		{"bare once", "user", "leaver", "not read"},
		{"bare once", "user", "lea", "not read"}, // the one that is not found may have the name
		{"bare ghost", "user", "leaver", "none"},
		{"", "user", strings.ToLower(string(leaver)), string(leaver)},
		{"once", "user", string(leaver), "not read"},
		{"ghost", "user", string(leaver), "none"},
		{"everyone", "user", "kim", string(kim)},
		{"everyone", "user", "guest", "none among the members of Everyone"},
		{"everyone", "user", "kmi", "none among the members of Everyone; " + meansKim},
	} {
		t.Run(strings.Join([]string{cmp.Or(c.server, "plain"), c.kind, c.name}, " "), func(t *testing.T) {
			t.Parallel()
			o := mstrtest.Options{}
			o.Quirks.EmptyUserList = c.server == "everyone"
			if strings.Contains(c.server, "ghost") {
				o.Quirks.Ghosts = []mstrapi.ObjectID{leaver}
			}
			for _, way := range []string{"command", "policy", "policy with the whole list"} {
				server, vars := serve(t, env, o)
				f := &front{server: server, bare: strings.Contains(c.server, "bare")}
				if strings.Contains(c.server, "once") {
					f.once = object(leaver)
				}
				listener := httptest.NewServer(f)
				t.Cleanup(listener.Close)
				vars["PRIVSYNC_URL"] = listener.URL + server.PathPrefix()
				got := ""
				switch {
				case way == "command":
					got = foundByCommand(t, vars, c.kind, c.name)
				case way != "policy" && len(c.name) == 32:
					continue // the list has the id, and nobody is asked
				default:
					got = foundByPolicy(t, vars, c.kind, c.name, way != "policy")
				}
				if got != c.want {
					t.Errorf("%s: %s, want %s", way, got, c.want)
				}
			}
		})
	}
}

// foundByCommand says whom explain finds, or why nobody.
func foundByCommand(t *testing.T, vars map[string]string, kind, name string) string {
	code, stdout, stderr := invoke(t, vars, "explain", kind, name, "--format", "json")
	if code == executor.ExitOK {
		var doc explanation
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
			t.Fatal(err)
		}
		return string(doc.Principal.ID)
	}
	if code != executor.ExitError {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if strings.Contains(stderr, "privsync: find "+kind) {
		return "not read"
	}
	return saidOf(stderr)
}

// foundByPolicy says whom plan finds, or why nobody.
func foundByPolicy(t *testing.T, vars map[string]string, kind, name string, whole bool) string {
	dir := t.TempDir()
	quoted, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: one}\nprincipals:\n  - " + kind + ": " + string(quoted) + "\n    privileges: [53]\n"
	if len(name) == 32 {
		text += "    id: " + string(quoted) + "\n"
	}
	if whole {
		text += "unlisted: report\n"
	}
	file, out := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "plan.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, stderr := invoke(t, vars, "plan", "-f", file, "--out", out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var plan planner.Plan
	if err := json.Unmarshal(data, &plan); err != nil {
		t.Fatal(err)
	}
	for _, f := range plan.Findings {
		switch f.Code {
		case planner.CodeReadFailed:
			return "not read"
		case planner.CodeUnknownPrincipal, planner.CodeAmbiguousPrincipal:
			return saidOf(f.Message)
		}
	}
	if i := slices.IndexFunc(plan.Changes, func(c planner.Change) bool { return len(c.Grant) > 0 }); i >= 0 {
		return string(plan.Changes[i].Principal.ID)
	}
	return "nothing"
}

// saidOf tells the parts of a message that a command and a policy have in common.
func saidOf(text string) string {
	said := "several"
	switch {
	case strings.Contains(text, "the server has no "):
		said = "none"
	case strings.Contains(text, "the server gives no list of its users, and "):
		said = "none among the members of Everyone"
	}
	for _, part := range []string{`did you mean "[^"]*"\?( they differ in character \d+: .*)?`, `[0-9A-F]{32} \(tenant .*\)`} {
		if found := regexp.MustCompile(part).FindString(text); found != "" {
			found, _, _ = strings.Cut(found, " a guest or a service account")
			said += "; " + found
		}
	}
	return said
}
