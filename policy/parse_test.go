package policy

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "renew golden files")

// header is lines 1 to 3 of most policies here: bodies begin at line 4.
const header = "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: t}\n"

// problemsOf returns the problems of err without the file's name.
func problemsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("error is a %T, want Problems: %v", err, err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "p.yaml:")
	}
	return lines
}

func mustParse(t *testing.T, body string) *Policy {
	t.Helper()
	p, err := Parse("p.yaml", []byte(header+body))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return p
}

func TestProblems(t *testing.T) {
	const group = "principals:\n- group: G\n"
	const advice = "; a policy never holds a secret: use PRIVSYNC_PASSWORD or --password-file"
	tests := []struct {
		name, body string
		want       []string
	}{
		{"unknown key", "scop: {level: all}\n" + group + "  forbid: [1]\n", []string{`4:1: unknown key "scop" in a policy; did you mean "scope"?`}},
		{"transposed key", group + "  fobrid: [1]\n", []string{`6:3: unknown key "fobrid" in a principals entry; did you mean "forbid"?`}},
		{"unknown key lists the known", "scope: {grade: 1}\n" + group + "  forbid: [1]\n", []string{`4:9: unknown key "grade" in scope; known are level`}},
		{"duplicate key", "scope: {level: all}\nscope: {level: all}\n" + group + "  forbid: [1]\n", []string{`5:1: key "scope" is given twice in a policy: first at 4:1`}},
		{"duplicate key in entry", group + "  forbid: [1]\n  forbid: [2]\n", []string{`7:3: key "forbid" is given twice in a principals entry: first at 6:3`}},
		{"empty section", "defaults: {}\n" + group + "  forbid: [1]\n", []string{`4:11: defaults is empty; leave it out if nothing is meant`}},
		{"section without value", "defaults:\n" + group + "  forbid: [1]\n", []string{`4:1: defaults must be a mapping, not nothing`}},
		{"section is a list", "scope: [all]\n" + group + "  forbid: [1]\n", []string{`4:8: scope must be a mapping, not a list`}},
		{"scope without level", "scope: {}\n" + group + "  forbid: [1]\n", []string{`4:8: scope has no level; write level: server, project or all`}},
		{"merge key", "defaults: &d {mode: additive}\n" + group + "  forbid: [1]\n  <<: *d\n", []string{`8:3: merge keys (<<) are not part of the policy language; use privilegeSets and include`}},
		{"complex key", "? [a]\n: b\n" + group + "  forbid: [1]\n", []string{`4:3: a key in a policy is a list, must be a word`}},
		{"alias key", "unlisted: &u ignore\n*u : x\n" + group + "  forbid: [1]\n", []string{`5:1: a key in a policy is an alias, must be a word`}},
		{"null key", "~: x\n" + group + "  forbid: [1]\n", []string{`4:1: a key in a policy is empty`}},
		{"tagged key", "!!str unlisted: ignore\n" + group + "  forbid: [1]\n", []string{`4:1: tag "!!str" is not part of the policy language`}},
		{"tagged scalar", group + "  forbid: [!!str 54]\n", []string{`6:12: tag "!!str" is not part of the policy language; leave it out: the text as written counts`}},
		{"tagged mapping", "scope: !!map {level: all}\n" + group + "  forbid: [1]\n", []string{`4:8: tag "!!map" is not part of the policy language`}},
		{"tagged list", group + "  forbid: !!seq [1]\n", []string{`6:11: tag "!!seq" is not part of the policy language`}},

		{"secret key", "environment: {password: hunter2}\n" + group + "  forbid: [1]\n", []string{`4:15: key "password" looks like a secret` + advice}},
		{"secret key far down", "server: {auth: [{api-Token: hunter2}]}\n" + group + "  forbid: [1]\n",
			[]string{`4:1: unknown key "server" in a policy`, `4:18: key "api-Token" looks like a secret` + advice}},
		{"secret under a known key", group + "  forbid: {pwd: hunter2}\n", []string{`6:11: forbid must be a list, not a mapping`, `6:12: key "pwd" looks like a secret` + advice}},
		{"secret among sets", "privilegeSets: {apikey: hunter2}\n" + group + "  forbid: [1]\n", []string{`4:17: key "apikey" looks like a secret` + advice}},
		{"credentials in url", "environment: {url: 'https://me:hunter2@bi.example.com/x'}\n" + group + "  forbid: [1]\n", []string{`4:20: url holds a user or a password` + advice}},
		{"url query", "environment: {url: 'https://bi.example.com/x?y=1'}\n" + group + "  forbid: [1]\n", []string{`4:20: url must not have a query or a fragment`}},
		{"url scheme", "environment: {url: 'ftp://bi.example.com'}\n" + group + "  forbid: [1]\n", []string{`4:20: url is not an http or https URL; write it like https://bi.example.com/MicroStrategyLibrary`}},
		{"url nonsense", "environment: {url: 'https://[::1/x'}\n" + group + "  forbid: [1]\n", []string{`4:20: url is not an http or https URL; write it like https://bi.example.com/MicroStrategyLibrary`}},
		{"url too long", "environment: {url: 'https://x/" + strings.Repeat("a", maxURLBytes) + "'}\n" + group + "  forbid: [1]\n", []string{`4:20: url is longer than 2048 bytes`}},
		{"url list", "environment: {url: [x]}\n" + group + "  forbid: [1]\n", []string{`4:20: url must be a single value, not a list`}},
		{"login mode", "environment: {loginMode: LDAP}\n" + group + "  forbid: [1]\n", []string{`4:26: loginMode is "LDAP", must be standard, ldap or apiToken; did you mean "ldap"?`}},

		{"empty name", "principals:\n- user:\n  forbid: [1]\n", []string{`5:3: user is empty`}},
		{"null name", "principals:\n- user: null\n  forbid: [1]\n", []string{`5:9: user is empty: null means nothing in YAML; quote it if "null" is really meant`}},
		{"tilde name", "principals:\n- user: ~\n  forbid: [1]\n", []string{`5:9: user is empty: ~ means nothing in YAML; quote it if "~" is really meant`}},
		{"long word", "unlisted: " + strings.Repeat("é", 60) + "\n", []string{`4:11: unlisted is "` + strings.Repeat("é", 40) + `…", must be ignore, report or revoke`}},
		{"hostile name", group + "  forbid: \"a\\e[31m\\u202e\\n\"\n", []string{`6:11: forbid must be a list, not a single value; write ["a\x1b[31m\u202e\n"]`}},
		{"null in a list of sets", group + "  sets: [~]\n", []string{`6:10: the name of a set is empty: ~ means nothing in YAML; quote it if "~" is really meant`}},
		{"very long key", "? " + strings.Repeat("k", 1020) + "password\n: 1\n" + group + "  forbid: [1]\n", []string{`4:3: unknown key "` + strings.Repeat("k", 80) + `…" in a policy`}},
		{"blank name", "principals:\n- user: '  '\n  forbid: [1]\n", []string{`5:9: user is empty`}},
		{"long name", "principals:\n- user: " + strings.Repeat("é", maxNameRunes+1) + "\n  forbid: [1]\n", []string{`5:9: user is longer than 1024 characters`}},
		{"pin", "principals:\n- user: a\n  id: 6C9D\n  forbid: [1]\n", []string{`6:7: id must be 32 hexadecimal digits`}},
		{"pin with hyphens", "principals:\n- user: a\n  id: 6C9DFE13-4D0F-8764-893B-469525E38EB0\n  forbid: [1]\n", []string{`6:7: id must be 32 hexadecimal digits; leave out the hyphens`}},
		{"pin on selector", "principals:\n- users: {enabled: true}\n  id: 6C9DFE134D0F8764893B469525E38EB0\n  forbid: [1]\n", []string{`6:3: id belongs to user or group, not to a selector`}},
		{"pin list", "principals:\n- user: a\n  id: []\n  forbid: [1]\n", []string{`6:7: id must be a single value, not a list`}},
		{"two subjects", "principals:\n- user: a\n  group: b\n  forbid: [1]\n", []string{`6:3: an entry has exactly one of user, group, users and groups: user is at 5:3; make two entries of it`}},
		{"no subject", "principals:\n- forbid: [1]\n", []string{`5:3: the entry names nobody; write user, group, users or groups`}},
		{"entry is a word", "principals: [demo]\n", []string{`4:14: a principals entry must be a mapping, not a single value`}},
		{"wants nothing", group + "  mode: authoritative\n", []string{`5:3: the entry wants nothing; write sets, privileges or forbid; mode: authoritative with privileges: [] if it is meant to have nothing`}},
		{"empty privileges", group + "  privileges: []\n", []string{`6:15: privileges is an empty list; write mode: authoritative as well if it is meant to have nothing`}},
		{"empty privileges, authoritative only by default", "defaults: {mode: authoritative}\n" + group + "  privileges: []\n", []string{`7:15: privileges is an empty list; write mode: authoritative as well if it is meant to have nothing`}},
		{"empty lists", group + "  forbid: []\n  sets: []\n", []string{`6:11: forbid is an empty list; leave it out if nothing is meant`, `7:9: sets is an empty list; leave it out if nothing is meant`}},
		{"empty principals", "principals: []\n", []string{`4:13: principals is an empty list; leave it out if nothing is meant`}},
		{"list is a word", group + "  forbid: Web administration\n", []string{`6:11: forbid must be a list, not a single value; write ["Web administration"]`}},
		{"setting", group + "  forbid: [1]\n  mode: authorative\n", []string{`7:9: mode is "authorative", must be additive or authoritative; did you mean "authoritative"?`}},
		{"restless entry", group + "  forbid: [1]\n  satisfiedBy: direct\n  redundant: revoke\n", []string{`8:14: redundant: revoke together with satisfiedBy: direct can never come to rest`}},
		{"restless with defaults", "defaults: {redundant: revoke}\n" + group + "  forbid: [1]\n  satisfiedBy: direct\n", []string{`8:16: redundant: revoke together with satisfiedBy: direct can never come to rest`}},
		{"restless defaults", "defaults: {redundant: revoke, satisfiedBy: direct}\n" + group + "  forbid: [1]\n", []string{`4:23: redundant: revoke together with satisfiedBy: direct can never come to rest`}},
		{"restless in an overlay", "defaults: {redundant: revoke}\noverlays: {dev: {defaults: {satisfiedBy: direct}}, qa: {defaults: {mode: additive}}}\n" + group + "  forbid: [1]\n",
			[]string{`4:23: redundant: revoke together with satisfiedBy: direct can never come to rest in overlay "dev"`}},
		{"entry restless in an overlay only", "overlays: {dev: {defaults: {satisfiedBy: direct}}}\n" + group + "  forbid: [1]\n  redundant: revoke\n",
			[]string{`8:14: redundant: revoke together with satisfiedBy: direct can never come to rest in overlay "dev"`}},

		{"leading zero", group + "  forbid: [054]\n", []string{`6:12: the privilege 054 is not a privilege number: 1 to 65535, without a leading zero; write 54`}},
		{"zero", group + "  forbid: [0]\n", []string{`6:12: the privilege 0 is not a privilege number: 1 to 65535, without a leading zero`}},
		{"too large", group + "  forbid: [65536, '99999999999999999999']\n", []string{
			`6:12: the privilege 65536 is not a privilege number: 1 to 65535, without a leading zero`,
			`6:19: the privilege 99999999999999999999 is not a privilege number: 1 to 65535, without a leading zero`}},
		{"null privilege", group + "  forbid: [null, ]\n", []string{`6:12: the privilege is empty: null means nothing in YAML; quote it if "null" is really meant`}},
		{"empty item", group + "  forbid:\n  -\n  - 1\n", []string{`7:4: the privilege is empty`}},
		{"privilege twice", group + "  privileges: [54, A, '54', {privilege: A}]\n", []string{
			`6:23: privilege 54 is given twice in privileges: first at p.yaml:6:16`, `6:41: privilege "A" is given twice in privileges: first at p.yaml:6:20`}},
		{"forbidden twice", group + "  forbid: [54, 54]\n", []string{`6:16: privilege 54 is given twice in forbid: first at p.yaml:6:12`}},
		{"forbid without privilege", group + "  forbid: [{until: 2026-02-03}]\n", []string{`6:12: the item has no privilege; a name that holds a colon needs quotes`}},
		{"inclusion without set", group + "  sets: [{until: 2026-02-03}]\n", []string{`6:10: the item names no set; write {set: NAME}`}},
		{"impossible day of a set", "privilegeSets: {a: {privileges: [1]}}\n" + group + "  sets: [{set: a, until: 2026-02-30}]\n", []string{`7:26: until is 2026-02-30, a day that does not exist`}},
		{"short day of an entry", group + "  forbid: [1]\n  until: 2026-2-3\n", []string{`7:10: until must be a day written YYYY-MM-DD`}},
		{"empty description", group + "  forbid: [1]\n  description: ''\n", []string{`7:16: description is empty`}},
		{"short day of an exception", "unlisted: report\nrules: [{name: r, deny: [1], except: [{user: a, until: 2026-2-3}]}]\n", []string{`5:56: until must be a day written YYYY-MM-DD`}},
		{"until of a protected user", "safety: {protected: [{user: a, until: 2026-02-03}]}\n" + group + "  forbid: [1]\n", []string{`4:32: unknown key "until" in an item of protected; known are user, group, id`}},
		{"impossible day", group + "  privileges: [{privilege: 54, until: 2026-02-30}]\n", []string{`6:39: until is 2026-02-30, a day that does not exist`}},
		{"day with time", group + "  privileges: [{privilege: 54, until: 2026-02-03T00:00:00Z}]\n", []string{`6:39: until must be a day written YYYY-MM-DD`}},
		{"short day", group + "  privileges: [{privilege: 54, until: 2026-2-3}]\n", []string{`6:39: until must be a day written YYYY-MM-DD`}},
		{"hyphens at the wrong place", group + "  privileges: [{privilege: 54, until: 20-26-0203}]\n", []string{`6:39: until must be a day written YYYY-MM-DD`}},
		{"day of another age", group + "  privileges: [{privilege: 54, until: 0001-01-01}]\n", []string{`6:39: until is 0001-01-01, must be in the years 2000 to 2999`}},
		{"no day", group + "  privileges: [{privilege: 54, until: ~}]\n", []string{`6:39: until is empty: ~ means nothing in YAML; quote it if "~" is really meant`}},
		{"listing without privilege", group + "  privileges: [{until: 2026-02-03}]\n", []string{`6:16: the item has no privilege; a name that holds a colon needs quotes`}},
		{"unquoted colon", group + "  privileges:\n  - Web: administration\n", []string{
			`7:5: the item has no privilege; a name that holds a colon needs quotes`, `7:5: unknown key "Web" in a listed privilege; known are privilege, until, reason, description`}},
		{"empty reason", group + "  privileges: [{privilege: 54, reason: ''}]\n", []string{`6:40: reason is empty`}},
		{"listed and forbidden", group + "  privileges: [54, A]\n  forbid: [A, '54']\n", []string{
			`7:12: privilege "A" is forbidden here and listed at p.yaml:6:20`, `7:15: privilege 54 is forbidden here and listed at p.yaml:6:16`}},
		{"listed by a set and forbidden", "privilegeSets: {a: {include: [b]}, b: {privileges: [54]}}\n" + group + "  sets: [a]\n  forbid: [54]\n",
			[]string{`8:12: privilege 54 is forbidden here and listed at p.yaml:4:53`}},

		{"unknown set", "privilegeSets: {monitoring: {privileges: [1]}}\n" + group + "  sets: [monitorign, x]\n", []string{
			`7:10: unknown set "monitorign"; did you mean "monitoring"?`, `7:22: unknown set "x"`}},
		{"unknown set twice", group + "  sets: [x]\n- group: H\n  sets: [x]\n", []string{`6:10: unknown set "x"`, `8:10: unknown set "x"`}},
		{"set twice", "privilegeSets: {a: {privileges: [1]}}\n" + group + "  sets: [a, a]\n", []string{`7:13: set "a" is given twice in sets`}},
		{"include unknown", "privilegeSets: {a: {include: [b]}}\n" + group + "  sets: [a]\n", []string{`4:31: unknown set "b"`}},
		{"include itself", "privilegeSets: {a: {include: [a]}}\n" + group + "  sets: [a]\n", []string{`4:31: set "a" includes itself: "a" > "a"`}},
		{"include cycle", "privilegeSets: {a: {include: [b]}, b: {include: [c]}, c: {include: [a]}}\n" + group + "  sets: [c]\n", []string{`4:69: set "a" includes itself: "a" > "b" > "c" > "a"`}},
		{"long include cycle", "privilegeSets: {a: {include: [b]}, b: {include: [c]}, c: {include: [d]}, d: {include: [e]}, e: {include: [f]}, f: {include: [g]}, g: {include: [h]}, h: {include: [i]}, i: {include: [a]}}\n" + group + "  sets: [c]\n",
			[]string{`4:183: set "a" includes itself: "a" > "b" > "c" > "d" > "e" > "f" > "g" > … > "a"`}},
		{"set wants nothing", "privilegeSets: {a: {description: d}}\n" + group + "  sets: [a]\n", []string{`4:20: set "a" has no privileges; write privileges or include`}},
		{"set empty lists", "privilegeSets: {a: {privileges: [], include: []}}\n" + group + "  sets: [a]\n", []string{
			`4:33: privileges is an empty list; leave it out if nothing is meant`, `4:46: include is an empty list; leave it out if nothing is meant`}},
		{"set key", "privilegeSets: {a: {privilege: [1]}}\n" + group + "  sets: [a, b]\n", []string{
			`4:21: unknown key "privilege" in set "a"; did you mean "privileges"?`, `7:13: unknown set "b"`}},
		{"set without a name", "privilegeSets: {'': {privileges: [1]}}\n" + group + "  sets: [a]\n", []string{`4:17: a key in privilegeSets is empty`}},
		{"set with a long name", "privilegeSets:\n  ? " + strings.Repeat("x", maxNameRunes+1) + "\n  : {privileges: [1]}\n" + group + "  sets: [a]\n", []string{`5:5: the name of a set is longer than 1024 characters`}},
		{"set is a list", "privilegeSets: {a: [1]}\n" + group + "  sets: [a]\n", []string{`4:20: set "a" must be a mapping, not a list`}},

		{"selector without condition", "principals:\n- users: {}\n  forbid: [1]\n", []string{`5:10: users is empty; leave it out if nothing is meant`}},
		{"memberOf by id alone", "principals:\n- users: {memberOf: {id: C82C6B1011D2894CC0009D9F29718E4F}}\n  forbid: [1]\n", []string{`5:21: memberOf takes a name, or a group with its id; write {group: NAME, id: ID}`}},
		{"memberOf with an odd id", "principals:\n- users: {memberOf: {group: G, id: 7}}\n  forbid: [1]\n", []string{`5:36: id must be 32 hexadecimal digits`}},
		{"selector with nested only", "principals:\n- users: {nested: true}\n  forbid: [1]\n", []string{`5:11: nested belongs to memberOf, which is missing`}},
		{"nested beside another condition", "principals:\n- users: {enabled: true, nested: false}\n  forbid: [1]\n", []string{`5:26: nested belongs to memberOf, which is missing`}},
		{"groups by login", "principals:\n- groups: {loginMatches: x*}\n  forbid: [1]\n", []string{`5:12: unknown key "loginMatches" in groups; known are memberOf, nested, nameMatches, except`}},
		{"not a boolean", "principals:\n- users: {enabled: yes, memberOf: G, nested: 'off'}\n  forbid: [1]\n", []string{
			`5:20: enabled must be true or false; write true`, `5:46: nested must be true or false; write false`}},
		{"not a boolean at all", "principals:\n- users: {enabled: maybe}\n  forbid: [1]\n", []string{`5:20: enabled must be true or false`}},
		{"boolean is a list", "principals:\n- users: {enabled: []}\n  forbid: [1]\n", []string{`5:20: enabled must be a single value, not a list`}},
		{"selector is a word", "principals:\n- users: all\n  forbid: [1]\n", []string{`5:10: users must be a mapping, not a single value`}},

		{"user twice", "principals:\n- user: Demo\n  forbid: [1]\n- user: dEMO\n  forbid: [2]\n", []string{`7:9: user "dEMO" has an entry already: at p.yaml:5:9; make one entry of both`}},
		{"group twice", "principals:\n- group: G\n  forbid: [1]\n- group: g\n  forbid: [2]\n- group: G\n  forbid: [3]\n", []string{`9:10: group "G" has an entry already: at p.yaml:5:10; make one entry of both`}},
		{"pin twice", "principals:\n- user: a\n  id: 6c9dfe134d0f8764893b469525e38eb0\n  forbid: [1]\n- user: b\n  id: 6C9DFE134D0F8764893B469525E38EB0\n  forbid: [2]\n",
			[]string{`8:9: user "b" has an entry already: at p.yaml:5:9; make one entry of both`}},

		{"limits", "safety: {maxRevokes: -1, maxChangedPrincipals: 10%}\n" + group + "  forbid: [1]\n", []string{
			`4:22: maxRevokes must be a whole number such as 25, or a percent such as "10%"`, `4:48: maxChangedPrincipals must be a whole number from 0 to 1000000000, without quotes`}},
		{"percent too large", "safety: {maxRevokes: 101%}\n" + group + "  forbid: [1]\n", []string{`4:22: maxRevokes must be a whole number such as 25, or a percent such as "10%"`}},
		{"limit without value", "safety: {maxRevokes: }\n" + group + "  forbid: [1]\n", []string{`4:10: maxRevokes is empty`}},
		{"protected", "safety: {protected: [{user: a}, {user: A}, {id: 6C9DFE134D0F8764893B469525E38EB0}, {user: a, group: b}, {users: x}, x]}\n" + group + "  forbid: [1]\n", []string{
			`4:40: user "A" is given twice in protected: first at p.yaml:4:29`,
			`4:44: an item of protected names nobody; write {user: LOGIN} or {group: NAME}`,
			`4:94: an item of protected is either a user or a group`,
			`4:113: users must be a mapping, not a single value`,
			`4:117: an item of protected must be a mapping, not a single value`}},
		{"notice", "defaults: {expiringWithinDays: 3651}\n" + group + "  forbid: [1]\n", []string{`4:32: expiringWithinDays must be a whole number from 0 to 3650`}},
		{"notice quoted", "defaults: {expiringWithinDays: '7'}\n" + group + "  forbid: [1]\n", []string{`4:32: expiringWithinDays must be a number without quotes`}},
		{"notice empty", "defaults: {expiringWithinDays: }\n" + group + "  forbid: [1]\n", []string{`4:12: expiringWithinDays is empty`}},
		{"unlisted", "unlisted: revok\n", []string{`4:11: unlisted is "revok", must be ignore, report or revoke; did you mean "revoke"?`}},
		{"unlisted list", "unlisted: [revoke]\n", []string{`4:11: unlisted must be a single value, not a list`}},

		{"rule without name", "unlisted: report\nrules: [{deny: [1]}]\n", []string{`5:9: the rule has no name`}},
		{"rule without kind", "unlisted: report\nrules: [{name: a}]\n", []string{`5:9: the rule judges nothing; write deny, conflict or require`}},
		{"rule of two kinds", "unlisted: report\nrules: [{name: a, deny: [1], conflict: [1, 2]}]\n", []string{`5:30: a rule has exactly one of deny, conflict and require: deny is at 5:19; make two rules of it`}},
		{"rule twice", "unlisted: report\nrules: [{name: a, deny: [1]}, {name: a, deny: [2]}]\n", []string{`5:38: rule "a" is given twice: first at p.yaml:5:16`}},
		{"lonely conflict", "unlisted: report\nrules: [{name: a, conflict: [1]}]\n", []string{`5:29: conflict needs two privileges or more`}},
		{"require without atLeast", "unlisted: report\nrules: [{name: a, require: [1]}]\n", []string{`5:19: require needs atLeast; write atLeast: 1 or more`}},
		{"atLeast 0", "unlisted: report\nrules: [{name: a, require: [1], atLeast: 0}]\n", []string{`5:42: atLeast must be a whole number from 1 to 1000000000`}},
		{"misplaced keys", "unlisted: report\nrules: [{name: a, conflict: [1, 2], atLeast: 1, except: [{user: a}]}]\n", []string{
			`5:37: atLeast belongs to require, not to conflict`, `5:49: except belongs to deny, not to conflict`}},
		{"severity", "unlisted: report\nrules: [{name: a, deny: [1], severity: warn}]\n", []string{`5:40: severity is "warn", must be error or warning; did you mean "warning"?`}},
		{"empty rules", "unlisted: report\nrules: []\n", []string{`5:8: rules is an empty list; leave it out if nothing is meant`}},
		{"command", "commands: [assign-watch-kpi-insght]\n", []string{`4:12: a command is "assign-watch-kpi-insght", must be assign-watch-kpi-insight; did you mean "assign-watch-kpi-insight"?`}},
		{"command twice", "commands: [assign-watch-kpi-insight, assign-watch-kpi-insight]\n", []string{`4:38: command "assign-watch-kpi-insight" is given twice: first at p.yaml:4:12`}},
		{"covers nobody", "scope: {level: all}\n", []string{`1:1: the policy covers nobody; write principals`}},

		{"overlay key", "overlays: {dev: {scope: {level: all}}}\n" + group + "  forbid: [1]\n", []string{`4:18: unknown key "scope" in an overlay; known are metadata, environment, defaults, safety`}},
		{"overlay is empty", "overlays: {dev: {}}\n" + group + "  forbid: [1]\n", []string{`4:17: an overlay is empty; leave it out if nothing is meant`}},
		{"overlay with a long name", "overlays:\n  ? " + strings.Repeat("x", maxNameRunes+1) + "\n  : {defaults: {mode: additive}}\n" + group + "  forbid: [1]\n", []string{`5:5: the name of an overlay is longer than 1024 characters`}},
		{"overlay is judged though not selected", "overlays: {dev: {environment: {url: x}, safety: {maxRevokes: x}, metadata: {name: ~}, defaults: {mode: x}}}\n" + group + "  forbid: [1]\n", []string{
			`4:37: url is not an http or https URL; write it like https://bi.example.com/MicroStrategyLibrary`,
			`4:62: maxRevokes must be a whole number such as 25, or a percent such as "10%"`,
			`4:83: the name of the policy is empty: ~ means nothing in YAML; quote it if "~" is really meant`,
			`4:104: mode is "x", must be additive or authoritative`}},
		{"alias of an alias", group + "  forbid: &f [1]\n- group: H\n  forbid: *f\n  sets: *f\n", []string{`6:15: unknown set "1"`}},
		{"alias of a null", group + "  forbid: [&n ~, *n]\n", []string{
			`6:12: the privilege is empty: ~ means nothing in YAML; quote it if "~" is really meant`, `6:18: the privilege is empty: ~ means nothing in YAML; quote it if "~" is really meant`}},
		{"alias in itself", "principals: &p\n- group: G\n  forbid: *p\n", []string{`6:11: alias *p stands for something that holds the alias itself`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(header+tt.body))
			if diff := cmp.Diff(tt.want, problemsOf(t, err)); diff != "" {
				t.Errorf("Parse(%q) problems (-want +got):\n%s", tt.body, diff)
			}
		})
	}
}

func TestProblemsOfWholeFiles(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string
	}{
		{"empty", "", []string{"1:1: the file is empty"}},
		{"comment", "# nothing\n", []string{"1:1: the file is empty"}},
		{"null", "---\n", []string{"1:1: the file is empty"}},
		{"list", "- a\n", []string{"1:1: a policy must be a mapping, not a list"}},
		{"word", "policy\n", []string{"1:1: a policy must be a mapping, not a single value"}},
		{"nothing in it", "{}\n", []string{"1:1: apiVersion is missing; write apiVersion: privsync/v1", "1:1: kind is missing; write kind: Policy",
			"1:1: the policy covers nobody; write principals", "1:1: the policy has no metadata.name; write metadata: {name: NAME}"}},
		{"metadata without name", "apiVersion: privsync/v1\nkind: Policy\nmetadata: {owner: o}\nunlisted: report\n", []string{"3:1: the policy has no metadata.name; write metadata: {name: NAME}"}},
		{"mistyped metadata is not missing", "apiVersion: privsync/v1\nkind: Policy\nmetdata: {name: t}\nunlisted: report\n", []string{`3:1: unknown key "metdata" in a policy; did you mean "metadata"?`}},
		{"other version", "apiVersion: privsync/v2\nkind: Polic\nmetadata: {name: t}\nunlisted: report\n", []string{
			`1:13: apiVersion is "privsync/v2", must be privsync/v1; did you mean "privsync/v1"?`, `2:7: kind is "Polic", must be Policy; did you mean "Policy"?`}},
		{"two documents", header + "unlisted: report\n---\nkind: Policy\n", []string{"5:1: a file holds one document, a second one begins here; put each policy into a file of its own and give them all with -f"}},
		{"broken second document", header + "---\n[\n", []string{"6:1: not valid YAML: did not find expected node content"}},
		{"utf-16", "\xff\xfea\x00", []string{"1:1: the file is UTF-16, must be UTF-8; save it as UTF-8"}},
		{"compressed", "\x1f\x8b\x08", []string{"1:1: the file is compressed, must be YAML text"}},
		{"binary", "a: b\nc\x00", []string{"2:2: the file is not text: it holds a zero byte"}},
		{"latin-1", header + "unlisted: \xe9\n", []string{"4:11: invalid UTF-8; save it as UTF-8"}},
		{"control character", "a: \x01\n", []string{"1:4: control character U+0001; write it as an escape in double quotes if it is meant"}},
		{"tab", header + "scope:\n\tlevel: all\n", []string{"5:1: not valid YAML: found character that cannot start any token; indent with spaces, YAML does not allow tabs"}},
		{"colon", header + "unlisted: a: b\n", []string{"4:1: not valid YAML: mapping values are not allowed in this context; quote a name that holds a colon, or check the indentation"}},
		{"percent", header + "unlisted: %x\n", []string{"4:1: not valid YAML: found character that cannot start any token; quote a name that begins with %, @ or `"}},
		{"unknown anchor", header + "principals:\n- users: {loginMatches: *svc}\n", []string{"5:25: not valid YAML: unknown anchor 'svc' referenced; quote a name that begins with *, or write &svc where the alias should point"}},
		{"indentation", header + "scope: {level: all}\nprincipals:\n- user: a\n  forbid: [1]\n   mode: additive\n- user: b\n  forbid: [1]\n", []string{"8:1: not valid YAML: did not find expected key"}},
		{"open bracket", header + "commands: [a\n", []string{"4:1: not valid YAML: did not find expected ',' or ']'"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("p.yaml", []byte(tt.data))
			if diff := cmp.Diff(tt.want, problemsOf(t, err)); diff != "" {
				t.Errorf("Parse(%q) problems (-want +got):\n%s", tt.data, diff)
			}
		})
	}
}

func TestGoldenProblems(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "wrong.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("wrong.yaml", data)
	if err == nil {
		t.Fatal("Parse(wrong.yaml) = nil, want problems")
	}
	golden := filepath.Join("testdata", "wrong.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(golden)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
		t.Errorf("Parse(wrong.yaml) problems (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("a problem repeats a secret")
	}
}

func TestProblemsAreCapped(t *testing.T) {
	for _, n := range []int{maxProblems, maxProblems + 1, keptProblems + 500} {
		_, err := Parse("p.yaml", []byte(header+"principals:\n"+strings.Repeat("- x\n", n)))
		var ps Problems
		errors.As(err, &ps)
		if n <= maxProblems {
			if len(ps) != n {
				t.Errorf("%d problems, want %d", len(ps), n)
			}
			continue
		}
		last := ps[len(ps)-1].String()
		if len(ps) != maxProblems+1 || !strings.HasPrefix(last, "p.yaml:205:3: from here on ") || !strings.Contains(last, " more problems") {
			t.Errorf("%d problems, the last is %q", len(ps), last)
		}
	}
}

func TestAliasesAreBounded(t *testing.T) {
	out := &collector{}
	p := newParser("p.yaml", out)
	p.maxAliased = 100
	data := header + "principals:\n- group: first\n  forbid: &list [" + manyNames(20) + "]\n"
	for i := range 10 {
		data += "- group: g" + strings.Repeat("x", i+1) + "\n  forbid: *list\n"
	}
	p.parse([]byte(data))
	want := []string{"p.yaml:16:11: the aliases of the policy stand for more than 100 values; use privilegeSets instead"}
	if diff := cmp.Diff(want, problemLines(out.error())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}

	// Billions of laughs, where no list of lists belongs.
	laughs := header + "principals:\n- group: G\n  forbid:\n  - &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'k'; c++ {
		prev := string(c - 1)
		laughs += "  - &" + string(c) + " [" + strings.Repeat("*"+prev+", ", 9) + "]\n"
	}
	if _, err := Parse("p.yaml", []byte(laughs+"  - *k\n")); err == nil {
		t.Error("Parse(laughs) = nil, want problems")
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("n" + time.Duration(i).String())
	}
	return b.String()
}
