package mstrtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
)

// formOf says what members a value has at any depth, and of which kinds they are.
func formOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+":"+formOf(v[k]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + formOf(v[0]) + "]"
	}
	return fmt.Sprintf("%T", v)
}

// TestLicenceContract holds the answers about licences against the form of the
// documented samples: members and kinds, at any depth.
func TestLicenceContract(t *testing.T) {
	env := Random(rand.New(rand.NewPCG(3, 1)), Size{})
	RandomLicences(rand.New(rand.NewPCG(3, 2)), env)
	user := &env.Users[0]
	user.Disabled = false
	user.Privileges = append(slices.Clone(user.Privileges), env.Licences[0].Privileges...)
	env.Groups = append(env.Groups, Group{ID: ServiceAccountsGroup, Name: "MicroStrategy Service Accounts", Privileges: env.Licences[0].Privileges[:1]})
	env.Users = append(env.Users, User{ID: DerivedID("user", "robot"), Login: "robot", Name: "Robot", Groups: []mstrapi.ObjectID{ServiceAccountsGroup}})
	s := NewServer(env, Options{Gzip: true})
	server := httptest.NewServer(s)
	defer server.Close()
	c := newClient(t, nil, server.URL+strings.TrimSuffix(s.PathPrefix(), "/"))
	a := c.want(204, "POST", "/api/auth/login", fmt.Sprintf(`{"username":%q,"password":%q,"loginMode":1}`, ServiceLogin, ServicePassword))
	c.token = a.header.Get("x-mstr-authtoken")
	form := func(what string, code int, method, path, want string) map[string]any {
		t.Helper()
		got := decode[map[string]any](t, c.want(code, method, path, "").body)
		diff(t, what, formOf(decode[map[string]any](t, want)), formOf(got))
		return got
	}
	const link = `{"link":{"href":"/queues/6C3033424C805FDA1F2743AFC1063B9B","type":"GET"}}`
	form("scan", 201, "POST", "/api/license/iServer/compliance", link)
	for range 3 {
		form("status of the scan", 200, "GET", "/api/license/iServer/compliance/status", `{"jobRunning":false}`)
	}
	form("result of the scan", 200, "GET", "/api/license/iServer/compliance/result",
		`{"complianceTime":"x","complianceType":2,"inCompliance":true,"complianceResult":[{"name":"x","type":41,"currentUsage":0,"maxUsage":-1,"inCompliance":true,"details":{}}]}`)
	form("audit", 201, "POST", "/api/license/iServer/audit", link)
	for range 3 {
		form("status of the audit", 200, "GET", "/api/license/iServer/audit/status", `{"jobRunning":false}`)
	}
	audit := decode[struct {
		Users []map[string]any `json:"userLicenses"`
	}](t, c.want(200, "GET", "/api/license/iServer/audit/result", "").body)
	for _, u := range audit.Users {
		types := u["licenseTypes"].([]any)
		if u["name"] == "Robot" && len(types) > 0 {
			t.Errorf("a service account has licences: %v", u)
		}
		if u["id"] == string(user.ID) {
			u["userGroupsIndex"] = []any{1.0}
			diff(t, "user in the audit", `{LDAPUser:bool,creationTime:string,enabled:bool,id:string,licenseTypes:[float64],modificationTime:string,name:string,userGroupsIndex:[float64]}`, formOf(u))
		}
	}
	product := mstrapi.LicenceProducts()[env.Licences[0].Product].Name
	for _, path := range []string{"/api/license/privileges/", "/api/license/iServer/privileges/"} {
		got := form("privileges of a product", 200, "GET", path+string(user.ID)+"?licenseProduct="+product,
			`{"licenseName":"client_application","pws":[{"privilege":{"id":"266","name":"x","description":"x","level":"project"},"sources":[{"direct":true}]}]}`)
		if got["licenseName"] != strings.ToLower(product) {
			t.Errorf("licenseName = %v, want %q", got["licenseName"], strings.ToLower(product))
		}
	}
}
