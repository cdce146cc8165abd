//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// Shape of a scene: everybody effectively holds 60 server privileges, 20 of
// them directly, 20 through a team, 20 through the division above it.
const (
	heldPrivileges = 60
	heldDirectly   = 20
	patterns       = 64 // of direct grants
	strayIndex     = heldPrivileges + patterns - 1
)

// A scene is a simulated server to be measured against. Stray of its users, spread
// evenly, hold one direct privilege too many.
type scene struct {
	Users   int
	Stray   int
	Latency time.Duration
	PageCap int
	Times   bool // remember when each request came
}

// environment is what the server starts from: users in teams of 200, in
// divisions of ten teams, in one company.
func (s scene) environment() *mstrtest.Environment {
	env := mstrtest.Generate(s.Users, heldPrivileges)
	for i := range env.Groups {
		g := &env.Groups[i]
		switch {
		case strings.HasPrefix(g.Name, "Team "):
			g.Privileges = s.teamPrivileges()
		case strings.HasPrefix(g.Name, "Division "):
			g.Privileges = s.divisionPrivileges()
		}
	}
	direct := make([][]mstrapi.PrivilegeID, patterns)
	for k := range direct {
		direct[k] = privileges(k, k+heldDirectly)
	}
	every := 0
	if s.Stray > 0 {
		every = s.Users / s.Stray
	}
	for i := range env.Users[1:] {
		u := &env.Users[1+i]
		u.Privileges = direct[i%patterns]
		if every > 0 && i%every == 0 && i/every < s.Stray {
			u.Privileges = append(u.Privileges[:heldDirectly:heldDirectly], strayPrivilege())
		}
	}
	return env
}

func (s scene) teamPrivileges() []mstrapi.PrivilegeID {
	const from = patterns + heldDirectly - 1
	return privileges(from, from+heldDirectly)
}

func (s scene) divisionPrivileges() []mstrapi.PrivilegeID {
	const from = patterns + 2*heldDirectly - 1
	return privileges(from, from+heldDirectly)
}

func strayPrivilege() mstrapi.PrivilegeID { return privileges(strayIndex, strayIndex+1)[0] }

// privileges returns the numbers of the server privileges of the generated
// catalogue from one index to another. It is numbered from 1 on, without the
// number of the privilege that managing users needs.
func privileges(from, to int) []mstrapi.PrivilegeID {
	const manager = 50
	out := make([]mstrapi.PrivilegeID, 0, to-from)
	for i := from; i < to; i++ {
		id := mstrapi.PrivilegeID(i + 1)
		if id >= manager {
			id++
		}
		out = append(out, id)
	}
	return out
}

// options are the server's.
func (s scene) options() mstrtest.Options {
	return mstrtest.Options{Latency: s.Latency, PageCap: s.PageCap, NoLog: true, NoLedger: true}
}

// config is that of a client of the server at url.
func config(url string, concurrency int) mstrapi.Config {
	return mstrapi.Config{
		URL: url, Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword, Concurrency: concurrency,
	}
}

// userID is the id of the n-th generated user; the first is 1.
func userID(n int) mstrapi.ObjectID { return mstrapi.ObjectID(fmt.Sprintf("A0000000%024X", n)) }

func userLogin(n int) string { return fmt.Sprintf("user%07d", n) }

const policyHead = "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: bench}\n"

func join(ids []mstrapi.PrivilegeID) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(id.String())
	}
	return b.String()
}

// selectorPolicy reaches every user through the company's group and forbids
// what too many of them hold.
func selectorPolicy() string {
	return policyHead + fmt.Sprintf("principals:\n  - users: {memberOf: Company, nested: true}\n    forbid: [%d]\n", strayPrivilege())
}

// ruledPolicy changes one group; everybody below it is judged by a rule.
func ruledPolicy() string {
	return policyHead + fmt.Sprintf("principals:\n  - group: Company\n    privileges: [%d]\nrules:\n  - name: managers\n    severity: warning\n    deny: [%s]\n",
		strayPrivilege(), mstrtest.UserManagerName)
}

// unlistedPolicy lists a few users; who else holds direct grants is reported.
func unlistedPolicy(users int) string {
	var b strings.Builder
	b.WriteString(policyHead + "unlisted: report\nprincipals:\n")
	for n := range users {
		fmt.Fprintf(&b, "  - user: %s\n    forbid: [%d]\n", userLogin(n+1), strayPrivilege())
	}
	return b.String()
}

// held are the privileges that the n-th user is meant to have.
func (s scene) held(n int) []mstrapi.PrivilegeID {
	k := (n - 1) % patterns
	return append(append(privileges(k, k+heldDirectly), s.teamPrivileges()...), s.divisionPrivileges()...)
}

// style is how a policy that lists everybody says what each may have.
type style string

const (
	withSets  style = "sets"      // one set for each
	withBoth  style = "both"      // a set and one privilege of its own
	withOwn   style = "own lists" // 60 privileges each, written out
	withPins  style = "id pins"
	withShort style = "short" // no more than a forbidden privilege
)

// listPolicy lists every user one by one; each may have what it is meant to hold
// and no more.
func (s scene) listPolicy(how style) string {
	var b strings.Builder
	b.WriteString(policyHead + "defaults: {mode: authoritative}\n")
	if how == withSets || how == withBoth {
		b.WriteString("privilegeSets:\n")
		for k := range patterns {
			ids := s.held(k + 1)
			if how == withBoth {
				ids = ids[1:]
			}
			fmt.Fprintf(&b, "  pattern%02d: {privileges: [%s]}\n", k, join(ids))
		}
	}
	b.WriteString("principals:\n")
	for n := 1; n <= s.Users; n++ {
		fmt.Fprintf(&b, "  - user: %s\n", userLogin(n))
		switch k := (n - 1) % patterns; how {
		case withSets:
			fmt.Fprintf(&b, "    sets: [pattern%02d]\n", k)
		case withBoth:
			fmt.Fprintf(&b, "    sets: [pattern%02d]\n    privileges: [%d]\n", k, s.held(n)[0])
		case withOwn:
			fmt.Fprintf(&b, "    privileges: [%s]\n", join(s.held(n)))
		case withPins:
			fmt.Fprintf(&b, "    id: %s\n    mode: additive\n    forbid: [%d]\n", userID(n), strayPrivilege())
		case withShort:
			fmt.Fprintf(&b, "    mode: additive\n    forbid: [%d]\n", strayPrivilege())
		}
	}
	return b.String()
}
