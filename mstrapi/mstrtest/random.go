package mstrtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"privsync/mstrapi"
)

// Size bounds what [Random] makes. A zero field means the default.
type Size struct {
	Users      int // 12
	Groups     int // 8, besides the built-in ones
	Privileges int // 16 server-level ones, and a quarter as many project-level ones
	Depth      int // 6: the longest chain of nested groups
}

func (s Size) orDefault() Size {
	for _, f := range []struct {
		field *int
		value int
	}{{&s.Users, 12}, {&s.Groups, 8}, {&s.Privileges, 16}, {&s.Depth, 6}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return s
}

// managerID and firstProjectID are privilege numbers of generated catalogues.
// The vendor's number of [UserManagerName] is 50; server-level privileges are
// numbered from 1 on without it, project-level ones from 500.
const (
	managerID      mstrapi.PrivilegeID = 50
	firstProjectID mstrapi.PrivilegeID = 500
)

// Random returns an environment for property tests: groups nested up to
// size.Depth with overlapping memberships, direct grants that repeat inherited
// ones, disabled users, and names that are hard on the reader: quotes,
// wildcards, other scripts, control characters, display names that several
// users share, ids that look like numbers. Group names are unique, logins are
// unique without regard to case. It always has Everyone and the account
// [ServiceLogin], which holds [UserManagerName] directly. The same rng gives
// the same environment.
func Random(rng *rand.Rand, size Size) *Environment {
	size = size.orDefault()
	env := &Environment{Catalogue: catalogue(size.Privileges, max(1, size.Privileges/4))}
	g := generator{rng: rng, env: env, used: make(map[string]bool)}
	everyone := Group{ID: mstrapi.EveryoneGroup, Name: "Everyone"}
	g.used["g:Everyone"] = true
	if rng.IntN(3) == 0 {
		everyone.Privileges = g.privileges(0.15)
	}
	env.Groups = append(env.Groups, everyone)
	depth := map[mstrapi.ObjectID]int{everyone.ID: 1}
	for len(env.Groups) <= size.Groups {
		group := Group{ID: g.id(), Name: g.groupName(), Privileges: g.privileges(0.25)}
		depth[group.ID] = 1
		candidates := slices.Clone(env.Groups)
		rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		// The newest group comes first half of the time: that makes deep chains.
		if rng.IntN(2) == 0 {
			candidates = append([]Group{env.Groups[len(env.Groups)-1]}, candidates...)
		}
		wanted := rng.IntN(4)
		for _, parent := range candidates {
			if len(group.Groups) >= wanted {
				break
			}
			if depth[parent.ID] >= size.Depth || slices.Contains(group.Groups, parent.ID) {
				continue
			}
			group.Groups = append(group.Groups, parent.ID)
			depth[group.ID] = max(depth[group.ID], depth[parent.ID]+1)
		}
		env.Groups = append(env.Groups, group)
	}
	env.Users = append(env.Users, service())
	g.used["u:"+ServiceLogin] = true
	for len(env.Users) <= size.Users {
		user := User{
			ID: g.id(), Login: g.login(), Name: g.displayName(),
			Disabled: rng.IntN(8) == 0, Privileges: g.privileges(0.2),
		}
		for n := rng.IntN(4); n > 0; n-- {
			parent := env.Groups[rng.IntN(len(env.Groups))].ID
			if !slices.Contains(user.Groups, parent) {
				user.Groups = append(user.Groups, parent)
			}
		}
		env.Users = append(env.Users, user)
	}
	// The order of the file must not matter to anybody.
	rng.Shuffle(len(env.Groups), func(i, j int) { env.Groups[i], env.Groups[j] = env.Groups[j], env.Groups[i] })
	rng.Shuffle(len(env.Users), func(i, j int) { env.Users[i], env.Users[j] = env.Users[j], env.Users[i] })
	return env
}

func service() User {
	return User{
		ID: DerivedID("user", ServiceLogin), Login: ServiceLogin, Name: "Privilege Synchronisation",
		Password: ServicePassword, Privileges: []mstrapi.PrivilegeID{managerID},
	}
}

// catalogue returns server and project privileges of each level, and
// [UserManagerName] besides.
func catalogue(server, project int) []mstrapi.Privilege {
	out := []mstrapi.Privilege{{
		ID: managerID, Name: UserManagerName, Categories: []string{"Administration"},
		Description: "Allow the user to manage users and groups.",
	}}
	for id := mstrapi.PrivilegeID(1); len(out) <= server; id++ {
		if id == managerID {
			continue
		}
		if id == firstProjectID {
			id += mstrapi.PrivilegeID(project)
		}
		out = append(out, mstrapi.Privilege{
			ID: id, Name: fmt.Sprintf("Server privilege %d", id), Categories: []string{"Administration"},
			Description: fmt.Sprintf("This is the privilege required to do the server's task number %d.", id),
		})
	}
	for i := range project {
		id := firstProjectID + mstrapi.PrivilegeID(i)
		out = append(out, mstrapi.Privilege{
			ID: id, Name: fmt.Sprintf("Project privilege %d", id), Categories: []string{"Common"}, ProjectLevel: true,
			Description: fmt.Sprintf("This is the privilege required to do the project's task number %d.", id),
		})
	}
	return out
}

// generator makes odd things.
type generator struct {
	rng  *rand.Rand
	env  *Environment
	used map[string]bool
}

func (g *generator) id() mstrapi.ObjectID {
	for {
		var id string
		switch g.rng.IntN(8) {
		case 0: // digits only
			id = fmt.Sprintf("%016d%016d", g.rng.Uint64N(1e16), g.rng.Uint64N(1e16))
		case 1: // looks like a number with an exponent
			id = fmt.Sprintf("%029dE%02d", g.rng.Uint64N(1e16), g.rng.IntN(100))
		default:
			id = fmt.Sprintf("%016X%016X", g.rng.Uint64(), g.rng.Uint64())
		}
		if !g.used["i:"+id] {
			g.used["i:"+id] = true
			return mstrapi.ObjectID(id)
		}
	}
}

// privileges draws each privilege but [UserManagerName] with the given
// probability. Without it the tests would mostly be about who may manage.
func (g *generator) privileges(probability float64) []mstrapi.PrivilegeID {
	var out []mstrapi.PrivilegeID
	for _, p := range g.env.Catalogue {
		if p.ID != managerID && g.rng.Float64() < probability {
			out = append(out, p.ID)
		}
	}
	return out
}

// words and oddities make names. The odd ones are legal on a server and hard
// on shells, YAML, Markdown, terminals or wildcards.
func words() []string {
	return []string{"Night", "Shift", "Sales", "Finance", "EMEA", "Data", "Admin", "Contractors", "Web", "Mobile"}
}

func oddities() []string {
	return []string{
		"*", "?", "a*", `"quoted"`, "it's", `back\slash`, "a, b: c", "#hash", "no", "null", "~", "1E10", "0123",
		"tab\there", "line\nbreak", "esc\x1b[31mred", "\u202eesrever", "zero\u200bwidth", "naïve", "Ünïcödé", "日本語", "🦊",
		"<script>", "[link](x)", "@everyone", "|pipe|", "`tick`", "$HOME", "%41", "a+b", "&amp;", " leading", "trailing ",
	}
}

func (g *generator) text() string {
	var parts []string
	for n := 1 + g.rng.IntN(3); n > 0; n-- {
		if g.rng.IntN(4) == 0 {
			parts = append(parts, oddities()[g.rng.IntN(len(oddities()))])
		} else {
			parts = append(parts, words()[g.rng.IntN(len(words()))])
		}
	}
	return strings.Join(parts, " ")
}

func (g *generator) groupName() string {
	for {
		name := g.text()
		if g.used["g:"+name] {
			name += fmt.Sprint(" ", g.rng.IntN(1000))
		}
		if !g.used["g:"+name] {
			g.used["g:"+name] = true
			return name
		}
	}
}

// displayName repeats an earlier user's now and then.
func (g *generator) displayName() string {
	if users := g.env.Users; len(users) > 1 && g.rng.IntN(5) == 0 {
		return users[g.rng.IntN(len(users))].Name
	}
	return g.text()
}

func (g *generator) login() string {
	for {
		login := strings.ReplaceAll(g.text(), " ", ".")
		if g.rng.IntN(3) == 0 {
			login = strings.ToUpper(login)
		}
		// Folding may take two steps to settle for some letters.
		folded := "u:" + strings.ToLower(strings.ToUpper(strings.ToLower(login)))
		if !g.used[folded] {
			g.used[folded] = true
			return login
		}
		login += fmt.Sprint(g.rng.IntN(1000))
		folded = "u:" + strings.ToLower(strings.ToUpper(strings.ToLower(login)))
		if !g.used[folded] {
			g.used[folded] = true
			return login
		}
	}
}
