package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

func TestNames(t *testing.T) {
	if got := strings.Join(Names(), " "); got != "diff doctor explain fleet history licence-use licences plan policy privileges report verify-reports who who-at" {
		t.Errorf("Names() = %s", got)
	}
	for _, name := range Names() {
		text, err := Text(name)
		if err != nil {
			t.Fatalf("Text(%s): %v", name, err)
		}
		var doc struct {
			Schema string `json:"$schema"`
			ID     string `json:"$id"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatalf("Text(%s): %v", name, err)
		}
		if doc.Schema != "https://json-schema.org/draft/2020-12/schema" || doc.ID != "urn:privsync:schema:"+name+":v1" {
			t.Errorf("Text(%s) is of %s, id %s", name, doc.Schema, doc.ID)
		}
		// Self-contained: every reference stays inside.
		for _, part := range bytes.Split(text, []byte(`"$ref": "`))[1:] {
			if !bytes.HasPrefix(part, []byte("#/$defs/")) {
				t.Errorf("Text(%s) refers outside itself: %.40s", name, part)
			}
		}
		text[0] = 'x'
		if again, _ := Text(name); again[0] == 'x' {
			t.Errorf("Text(%s) hands out its own bytes", name)
		}
		first, err := Compiled(name)
		if second, _ := Compiled(name); err != nil || first != second {
			t.Errorf("Compiled(%s) compiles twice (%v)", name, err)
		}
	}
}

func TestUnknownName(t *testing.T) {
	const want = `unknown schema "x": known are diff, doctor, explain, fleet, history, licence-use, licences, plan, policy, privileges, report, verify-reports, who, who-at`
	_, textErr := Text("x")
	_, compiledErr := Compiled("x")
	for _, err := range []error{textErr, compiledErr, Validate("x", nil)} {
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestCompileRefusesBadSchemas(t *testing.T) {
	for _, text := range []string{"{", `{"type": 5}`, `{"$ref": "https://example.invalid/x.json"}`} {
		if _, err := compile("bad", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "schema bad: ") {
			t.Errorf("compile(%s) = %v", text, err)
		}
	}
}

func TestPolicies(t *testing.T) {
	const id = "6C9DFE134D0F8764893B469525E38EB0"
	entry := func(s string) string {
		return `{"apiVersion": "privsync/v1", "kind": "Policy", "principals": [` + s + `]}`
	}
	section := func(s string) string { return `{"apiVersion": "privsync/v1", "kind": "Policy", ` + s + `}` }
	valid := []string{
		section(`"metadata": {"name": "a", "owner": "b", "description": "c"}`),
		section(`"scope": {"level": "all"}, "unlisted": "revoke", "commands": ["assign-watch-kpi-insight"]`),
		section(`"environment": {"url": "https://bi.example.com:8443/MicroStrategyLibrary", "loginMode": "apiToken"}`),
		section(`"defaults": {"mode": "additive", "satisfiedBy": "direct", "redundant": "keep", "inherited": "report", "expiringWithinDays": 0}`),
		section(`"safety": {"maxRevokes": "10%", "maxChangedPrincipals": 0, "protected": [{"user": "a"}, {"group": "b", "id": "` + id + `"}]}`),
		section(`"safety": {"maxRevokes": 25}`),
		section(`"privilegeSets": {"a": {"privileges": [1, "x", {"privilege": 1, "until": "2026-12-31", "reason": "r"}]}, "b": {"include": ["a"], "description": "d"}}`),
		section(`"rules": [{"name": "a", "deny": [1], "except": [{"user": "x"}]}, {"name": "b", "conflict": [1, 2], "severity": "warning"}, {"name": "c", "require": ["x"], "atLeast": 2}]`),
		section(`"overlays": {"dev": {"metadata": {"name": "x"}, "environment": {"loginMode": "ldap"}, "defaults": {"mode": "additive"}, "safety": {"maxRevokes": 1}}}`),
		entry(`{"user": "a", "id": "` + id + `", "sets": ["s"], "privileges": [1], "forbid": ["x"], "mode": "additive", "satisfiedBy": "direct", "redundant": "keep", "inherited": "allow"}`),
		entry(`{"user": 123, "forbid": [true, 1e10]}`),
		entry(`{"group": "a", "mode": "authoritative", "privileges": []}`),
		entry(`{"users": {"memberOf": "G", "nested": true, "loginMatches": "x*", "nameMatches": "y?", "enabled": false}, "forbid": [1]}`),
		entry(`{"groups": {"nameMatches": "y?"}, "sets": ["a"]}`),
	}
	for _, text := range valid {
		if err := Validate("policy", decode(t, text)); err != nil {
			t.Errorf("%s: %#v", text, err)
		}
	}
	invalid := []string{
		`[]`, `{}`, `{"apiVersion": "privsync/v1"}`, `{"apiVersion": "privsync/v2", "kind": "Policy"}`, `{"apiVersion": "privsync/v1", "kind": "Overlay"}`,
		section(`"extra": 1`), section(`"metadata": {}`), section(`"metadata": {"nam": "x"}`), section(`"metadata": {"name": ""}`), section(`"metadata": {"name": null}`),
		section(`"scope": {}`), section(`"scope": {"level": "servers"}`), section(`"scope": "all"`), section(`"unlisted": "drop"`),
		section(`"environment": {}`), section(`"environment": {"url": "https://u:p@x"}`), section(`"environment": {"url": "ftp://x"}`), section(`"environment": {"url": "https://x?y"}`),
		section(`"environment": {"password": "x"}`), section(`"environment": {"loginMode": 1}`),
		section(`"defaults": {}`), section(`"defaults": {"redundant": "revoke", "satisfiedBy": "direct"}`), section(`"defaults": {"expiringWithinDays": -1}`),
		section(`"safety": {}`), section(`"safety": {"maxRevokes": "101%"}`), section(`"safety": {"maxRevokes": -1}`), section(`"safety": {"maxChangedPrincipals": "10%"}`), section(`"safety": {"protected": []}`),
		section(`"safety": {"protected": [{"user": "a", "group": "b"}]}`), section(`"safety": {"protected": [{"id": "` + id + `"}]}`), section(`"safety": {"protected": ["a"]}`), section(`"safety": {"protected": [{"users": {}}]}`), section(`"safety": {"protected": [{"users": {"enabled": true}, "user": "a"}]}`),
		section(`"privilegeSets": {}`), section(`"privilegeSets": {"": {"privileges": [1]}}`), section(`"privilegeSets": {"a": {}}`), section(`"privilegeSets": {"a": {"privileges": []}}`),
		section(`"privilegeSets": {"a": {"include": []}}`), section(`"privilegeSets": {"a": [1]}`),
		section(`"privilegeSets": {"a": {"privileges": [{"until": "2026-12-31"}]}}`), section(`"privilegeSets": {"a": {"privileges": [{"privilege": 1, "until": "2026-13-31"}]}}`),
		section(`"principals": []`), entry(`"a"`), entry(`{"forbid": [1]}`), entry(`{"user": "a"}`), entry(`{"user": "a", "group": "b", "forbid": [1]}`), entry(`{"user": null, "forbid": [1]}`),
		entry(`{"user": "a", "id": "6C9D", "forbid": [1]}`), entry(`{"users": {"enabled": true}, "id": "` + id + `", "forbid": [1]}`), entry(`{"user": "a", "privileges": []}`),
		entry(`{"user": "a", "privileges": [], "mode": "additive"}`), entry(`{"user": "a", "sets": []}`), entry(`{"user": "a", "forbid": []}`), entry(`{"user": "a", "forbid": [{"until": "2026-12-31"}]}`), entry(`{"user": "a", "sets": [{"until": "2026-12-31"}]}`), entry(`{"user": "a", "forbid": [1], "until": "soon"}`),
		entry(`{"user": "a", "forbid": [1], "redundant": "revoke", "satisfiedBy": "direct"}`), entry(`{"user": "a", "forbid": [1], "mode": "strict"}`),
		entry(`{"users": {}, "forbid": [1]}`), entry(`{"users": {"nested": true}, "forbid": [1]}`), entry(`{"users": {"enabled": true, "nested": true}, "forbid": [1]}`), entry(`{"users": {"enabled": "yes"}, "forbid": [1]}`),
		entry(`{"groups": {"loginMatches": "x"}, "forbid": [1]}`), entry(`{"groups": {"nameMatches": ""}, "forbid": [1]}`),
		section(`"rules": []`), section(`"rules": [{"name": "a"}]`), section(`"rules": [{"deny": [1]}]`), section(`"rules": [{"name": "a", "deny": [1], "conflict": [1, 2]}]`), section(`"rules": [{"name": "a", "conflict": [1]}]`),
		section(`"rules": [{"name": "a", "require": [1]}]`), section(`"rules": [{"name": "a", "deny": [1], "atLeast": 1}]`), section(`"rules": [{"name": "a", "conflict": [1, 2], "except": [{"user": "x"}]}]`),
		section(`"rules": [{"name": "a", "deny": [1], "except": [{"user": "x", "until": 1}]}]`),
		section(`"commands": []`), section(`"commands": ["x"]`), section(`"commands": ["assign-watch-kpi-insight", "assign-watch-kpi-insight"]`),
		section(`"overlays": {}`), section(`"overlays": {"dev": {}}`), section(`"overlays": {"dev": {"scope": {"level": "all"}}}`),
	}
	for _, text := range invalid {
		if err := Validate("policy", decode(t, text)); err == nil {
			t.Errorf("the policy schema accepts %s", text)
		}
	}
}

const hexDigest = `"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`

const examplePlan = `{"format": "privsync/plan/v1", "tool": {"name": "privsync", "version": "1.0.0"}, "createdAt": "2026-01-02T03:04:05Z", "expiresAt": "2026-01-03T03:04:05.5+01:00",
 "environment": {"url": "https://bi.example.com/x", "iServerVersion": "", "webVersion": "11.4"}, "actor": {"id": "54F3D26011D2896560009A8E67019608", "name": "Administrator"},
 "policy": {"name": "production", "environment": "dev", "digest": ` + hexDigest + `, "files": [{"path": "a.yaml", "digest": ` + hexDigest + `}]},
 "scope": {"level": "server"},
 "safety": {"observedDirect": 3, "maxRevokes": "10%", "maxChangedPrincipals": "200", "protected": [{"kind": "group", "id": "", "name": "Admins"}], "actorLoses": [{"id": 7, "name": "Use User Manager"}]},
 "complete": true,
 "summary": {"principals": 3, "inSync": 1, "changed": 1, "grants": 1, "revokes": 1, "unknown": 1, "findings": {"error": 1, "warning": 0, "info": 0}},
 "changes": [{"principal": {"kind": "user", "id": "6C9DFE134D0F8764893B469525E38EB0", "name": "Demo User", "login": "demo"},
   "grant": [{"id": 2, "name": "Create configuration objects", "reason": "listed"}], "revoke": [{"id": 53, "name": "", "reason": "redundant", "reliesOn": ["54F3D26011D2896560009A8E67019608"]}],
   "observed": {"direct": [53], "inherited": []}, "impact": {"members": 0}}],
 "findings": [{"code": "inherited-forbidden", "severity": "error", "principal": {"kind": "user", "id": "", "name": ""}, "privilege": {"id": 0, "name": "x"}, "message": "m",
   "sources": [{"kind": "group", "id": "54F3D26011D2896560009A8E67019608", "name": "g"}], "position": {"file": "a.yaml", "line": 12, "column": 7}}],
 "commands": ["assign-watch-kpi-insight"], "digest": ` + hexDigest + `}`

const exampleReport = `{"format": "privsync/report/v1", "run": {"id": "r", "command": "apply", "startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:06Z", "outcome": "partial", "recovered": true},
 "tool": {"name": "privsync", "version": "1.0.0"}, "environment": {"url": "https://x", "iServerVersion": "", "webVersion": ""}, "actor": {"id": "", "name": ""},
 "policy": {"name": "p", "digest": ` + hexDigest + `, "files": []}, "scope": {"level": "all"}, "plan": {"digest": ` + hexDigest + `},
 "summary": {"principals": 1, "inSync": 0, "drifted": 0, "applied": 1, "failed": 0, "stale": 0, "heldBack": 0, "unverified": 0, "notAttempted": 0, "unknown": 0, "grants": 1, "revokes": 0, "requests": 9, "retries": 1},
 "principals": [{"principal": {"kind": "user", "id": "6C9DFE134D0F8764893B469525E38EB0", "name": "d", "login": "demo"}, "outcome": "held-back", "grant": [], "revoke": [{"id": 53, "name": "n", "reason": "not-listed"}],
   "granted": [2], "revoked": [53], "heldBack": [{"id": 53, "name": "n"}], "before": null, "after": {"direct": [], "inherited": [2], "sources": [{"privilege": 2, "direct": false, "groups": [{"id": "54F3D26011D2896560009A8E67019608", "name": "g"}]}]},
   "attempts": 1, "startedAt": "0001-01-01T00:00:00Z", "durationMs": 12, "error": {"status": 403, "code": "ERR017", "iServerCode": -2147214568, "message": "m", "ticketId": "t"}}],
 "privileges": [{"id": 53, "name": "n"}], "findings": [], "guards": [{"guard": "maxRevokes", "actual": "30", "limit": "25", "message": "m", "offenders": [{"kind": "user", "id": "", "name": "x"}], "allowed": true}],
 "commands": [{"name": "assign-watch-kpi-insight", "queueId": "", "status": 3, "progress": 100, "iServerErrorCode": 0, "outcome": "failed", "error": {"message": "m"}}],
 "error": {"message": "m"}, "previous": ` + hexDigest + `, "digest": ` + hexDigest + `}`

func TestPlansAndReports(t *testing.T) {
	for name, example := range map[string]string{"plan": examplePlan, "report": exampleReport} {
		if err := Validate(name, decode(t, example)); err != nil {
			t.Errorf("%s: %#v", name, err)
		}
		// Strict: one more key anywhere is refused, and so is anything that is not
		// there but must be.
		objects := 0
		visit(decode(t, example), func(at string, m map[string]any) {
			doc := decode(t, example)
			visit(doc, func(other string, m map[string]any) {
				if other == at {
					m["extra"] = 1
				}
			})
			if Validate(name, doc) == nil {
				t.Errorf("%s: an unknown key in %s is accepted", name, at)
			}
			objects++
		})
		if objects < 12 {
			t.Errorf("%s: only %d objects visited", name, objects)
		}
	}
	broken := []struct{ name, example, old, new string }{
		{"plan", examplePlan, `privsync/plan/v1`, `privsync/plan/v2`},
		{"plan", examplePlan, `"2026-01-02T03:04:05Z"`, `"yesterday"`},
		{"plan", examplePlan, `"level": "server"`, `"level": "servers"`},
		{"plan", examplePlan, `"reason": "listed"`, `"reason": "mood"`},
		{"plan", examplePlan, `"direct": [53]`, `"direct": [53, 53]`},
		{"plan", examplePlan, `"direct": [53]`, `"direct": null`},
		{"plan", examplePlan, `"direct": [53]`, `"direct": [0]`},
		{"plan", examplePlan, `6C9DFE134D0F8764893B469525E38EB0`, `6c9dfe134d0f8764893b469525e38eb0`},
		{"plan", examplePlan, `inherited-forbidden`, `inherited`},
		{"plan", examplePlan, `"complete": true,`, ``},
		{"plan", examplePlan, `"sha256:9f86`, `"md5:9f86`},
		{"plan", examplePlan, `"maxRevokes": "10%"`, `"maxRevokes": 10`},
		{"report", exampleReport, `privsync/report/v1`, `privsync/plan/v1`},
		{"report", exampleReport, `"command": "apply"`, `"command": "guess"`},
		{"report", exampleReport, `"outcome": "partial"`, `"outcome": "fine"`},
		{"report", exampleReport, `"recovered": true`, `"recovered": false`},
		{"report", exampleReport, `"outcome": "held-back"`, `"outcome": "heldBack"`},
		{"report", exampleReport, `"before": null,`, ``},
		{"report", exampleReport, `"retries": 1`, `"retries": -1`},
		{"report", exampleReport, `"guard": "maxRevokes", `, ``},
		{"report", exampleReport, `"findings": [],`, ``},
	}
	for _, b := range broken {
		text := strings.Replace(b.example, b.old, b.new, 1)
		if text == b.example {
			t.Fatalf("%s is not in the example %s", b.old, b.name)
		}
		if Validate(b.name, decode(t, text)) == nil {
			t.Errorf("%s with %s is accepted", b.name, b.new)
		}
	}
}

// visit calls f for every object in doc with its path.
func visit(doc any, f func(at string, m map[string]any)) { visitAt("", doc, f) }

func visitAt(at string, doc any, f func(at string, m map[string]any)) {
	switch v := doc.(type) {
	case map[string]any:
		for key, child := range v {
			visitAt(at+"/"+key, child, f)
		}
		f(at, v)
	case []any:
		for i, child := range v {
			visitAt(fmt.Sprintf("%s/%d", at, i), child, f)
		}
	}
}

// An editor completes and explains a policy from these: every property says what
// it is, and its examples are right.
func TestPolicySchemaExplainsItself(t *testing.T) {
	text, err := Text("policy")
	if err != nil {
		t.Fatal(err)
	}
	root := decode(t, string(text)).(map[string]any)
	defs := root["$defs"].(map[string]any)
	c := jsonschema.NewCompiler()
	c.AssertFormat = true
	if err := c.AddResource("urn:x", bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	properties := 0
	explain := func(at string, s map[string]any) {
		if ref, ok := s["$ref"].(string); ok && s["title"] == nil {
			s = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		for _, key := range []string{"title", "description"} {
			if text, _ := s[key].(string); text == "" {
				t.Errorf("%s has no %s", at, key)
			}
		}
		examples, _ := s["examples"].([]any)
		if len(examples) == 0 {
			t.Errorf("%s has no examples", at)
		}
		compiled, err := c.Compile("urn:x#" + at)
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		for _, example := range examples {
			if err := compiled.Validate(example); err != nil {
				t.Errorf("%s: example %v: %#v", at, example, err)
			}
		}
		properties++
	}
	visit(root, func(at string, s map[string]any) {
		props, ok := s["properties"].(map[string]any)
		if !ok || s["additionalProperties"] != false {
			return // a condition, not a description
		}
		for name, p := range props {
			explain(at+"/properties/"+name, p.(map[string]any))
		}
	})
	for name, def := range defs {
		explain("/$defs/"+name, def.(map[string]any))
	}
	explain("", root)
	if properties < 60 {
		t.Errorf("only %d properties visited", properties)
	}
}
