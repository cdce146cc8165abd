package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
)

const (
	// startRevokes is the limit that a new policy begins with: few enough that a
	// list that was cut by mistake is refused, enough for an ordinary change.
	startRevokes = 25
	// A set stands for a combination of at least so many privileges that at least
	// so many principals share: below that the lists themselves are easier to read.
	setPrivileges, setSharers = 3, 3
)

// systemAdministrators is the group that the installation makes for administrators.
const systemAdministrators = "System Administrators"

// policyDraft is what a policy is written from.
type policyDraft struct {
	name      string
	level     mstrapi.Level
	url       string
	catalogue []mstrapi.Privilege
	entries   []exported
	protected []mstrapi.PrincipalRow // administrators: no plan may change them
	whole     bool                   // everybody was read, so that who is in no entry holds nothing
}

// administrators returns who of rows administers the server: the built-in
// Administrator, and the groups called as the installation calls theirs.
func administrators(rows []mstrapi.PrincipalRow) []mstrapi.PrincipalRow {
	var found []mstrapi.PrincipalRow
	for _, row := range rows {
		if row.ID == mstrapi.AdministratorUser || row.Kind == mstrapi.Group && row.Name == systemAdministrators {
			found = append(found, row)
		}
	}
	return found
}

// sharedSets returns the name of the set for each combination that is worth one,
// by combination, and whose it is.
func (d *policyDraft) sharedSets(refs map[mstrapi.PrivilegeID]string) map[string]string {
	sharers := map[string]int{}
	sets := map[string]string{}
	for _, p := range d.entries {
		if len(p.direct) < setPrivileges || !catalogued(p.direct, refs) {
			continue
		}
		key := fmt.Sprint(p.direct)
		if sharers[key]++; sharers[key] == setSharers {
			sets[key] = setName(p.direct, refs)
		}
	}
	return sets
}

// setName names a set by what is in it, so that it keeps its name whatever other
// sets come and go: its first privilege, how many more, and a digest of them all.
func setName(ids []mstrapi.PrivilegeID, refs map[mstrapi.PrivilegeID]string) string {
	var slug strings.Builder
	for _, r := range strings.ToLower(refs[ids[0]]) {
		if r < 'a' || r > 'z' {
			if r < '0' || r > '9' {
				r = '-'
			}
		}
		if r != '-' || slug.Len() > 0 && !strings.HasSuffix(slug.String(), "-") {
			slug.WriteRune(r)
		}
		if slug.Len() >= 40 {
			break
		}
	}
	first := cmp.Or(strings.Trim(slug.String(), "-"), "privilege-"+ids[0].String())
	sum := sha256.Sum256([]byte(fmt.Sprint(ids)))
	return fmt.Sprintf("%s-and-%d-more-%x", first, len(ids)-1, sum[:4])
}

// write returns the policy, and how many sets it has.
func (d *policyDraft) write() (*bytes.Buffer, int, error) {
	if len(d.entries) == 0 {
		return nil, 0, hinted(errors.New("nobody holds a direct grant: there is nothing to describe"), "name users or groups to write entries for them all the same")
	}
	refs := references(d.catalogue)
	sets := d.sharedSets(refs)
	written := map[string]bool{}
	setNodes := mapping()
	principals := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range d.entries {
		entry := principalNode(p.row)
		known := slices.DeleteFunc(slices.Clone(p.direct), func(id mstrapi.PrivilegeID) bool { return refs[id] == "" })
		if len(known) == len(p.direct) {
			add(entry, "mode", scalar("authoritative"))
		} else {
			// What the policy cannot name must not be revoked by it.
			add(entry, "mode", scalar("additive"))
			entry.Content[len(entry.Content)-1].LineComment = "# holds privileges that the catalogue does not name: " + difference(p.direct, known)
		}
		if set := sets[fmt.Sprint(p.direct)]; set != "" {
			if !written[set] {
				written[set] = true
				add(setNodes, set, mapping(pair{"privileges", privilegeList(p.direct, refs)}))
			}
			add(entry, "sets", &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{scalar(set)}})
		} else {
			add(entry, "privileges", privilegeList(known, refs))
		}
		principals.Content = append(principals.Content, entry)
	}
	safety := mapping(pair{"maxRevokes", &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.Itoa(startRevokes)}})
	if len(d.protected) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, row := range d.protected {
			list.Content = append(list.Content, principalNode(row))
		}
		add(safety, "protected", list)
	}
	root := mapping(
		pair{"apiVersion", scalar("privsync/v1")},
		pair{"kind", scalar("Policy")},
		pair{"metadata", mapping(pair{"name", scalar(d.name)})},
		pair{"scope", mapping(pair{"level", scalar(string(d.level))})},
		pair{"environment", mapping(pair{"url", scalar(d.url)})},
		pair{"safety", safety},
	)
	if d.whole {
		add(root, "unlisted", scalar("report"))
	}
	if len(written) > 0 {
		add(root, "privilegeSets", setNodes)
	}
	add(root, "principals", principals)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by privsync export: the direct grants on\n# %s.\n", render.Clean(d.url))
	fmt.Fprintf(&b, "# A login goes to the server below only if --url or %s names it as well, or\n# %s, ~/.config/privsync/servers or %s lists it.\n", urlVariable, serversVariable, systemServers)
	b.WriteString("# Planning it changes nothing. Every entry is authoritative: what you take out of its\n# list is revoked by the next apply.\n")
	if d.whole {
		b.WriteString("# Deleting a whole entry revokes nothing: whom no entry lists is reported (unlisted).\n")
	} else {
		b.WriteString("# Deleting a whole entry revokes nothing: nobody looks at whom no entry lists.\n")
	}
	enc := yaml.NewEncoder(&jsonSafe{w: &b, yaml: true}) // its escapes mean the same in a double-quoted scalar
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, 0, fmt.Errorf("policy: %w", err)
	}
	return &b, len(written), enc.Close()
}

// summary tells what the policy says, a line each; read is how many principals
// were read.
func (d *policyDraft) summary(read, sets int) []string {
	var grants, users, groups int
	for _, p := range d.entries {
		grants += len(p.direct)
		if p.row.Kind == mstrapi.User {
			users++
		} else {
			groups++
		}
	}
	lines := []string{fmt.Sprintf("described: %s of %s and %s, in %s and %s", clean.Count(grants, "direct grant"),
		clean.Count(users, "user"), clean.Count(groups, "group"), clean.Count(len(d.entries), "entry"), clean.Count(sets, "set"))}
	if left := read - len(d.entries); left > 0 {
		lines[0] += fmt.Sprintf("; %s without one are in no entry", clean.Count(left, "principal"))
	}
	protected := make([]string, len(d.protected))
	for i, row := range d.protected {
		protected[i] = string(row.Kind) + " " + clean.Quote(row.Name)
	}
	line := "protected: " + strings.Join(protected, ", ")
	if len(protected) == 0 {
		line = "protected: nobody, since neither the built-in Administrator nor a group " + systemAdministrators + " was among them: list your administrators under safety.protected"
	}
	return append(lines, line)
}

// principalNode names row as an entry does: by login or name, and by its id.
func principalNode(row mstrapi.PrincipalRow) *yaml.Node {
	name := row.Name
	if row.Kind == mstrapi.User {
		name = row.Login
	}
	node := mapping(pair{string(row.Kind), scalar(name)})
	var comment []string
	if row.Kind == mstrapi.User && row.Name != name {
		comment = append(comment, render.Clean(row.Name))
	}
	if row.Tenant != "" {
		comment = append(comment, "tenant "+render.Clean(row.Tenant))
	}
	if len(comment) > 0 {
		node.Content[1].LineComment = "# " + strings.Join(comment, ", ")
	}
	add(node, "id", scalar(string(row.ID)))
	return node
}

// references returns how a policy writes each privilege: by name, or by number
// where several have the name or where it looks like a number; "" is never
// among them.
func references(catalogue []mstrapi.Privilege) map[mstrapi.PrivilegeID]string {
	count := map[string]int{}
	for _, p := range catalogue {
		count[strings.ToLower(p.Name)]++
	}
	refs := make(map[mstrapi.PrivilegeID]string, len(catalogue))
	for _, p := range catalogue {
		ref := p.Name
		if _, err := strconv.Atoi(p.Name); err == nil || count[strings.ToLower(p.Name)] > 1 || p.Name != strings.TrimSpace(p.Name) || render.Clean(p.Name) != p.Name || ref == "" {
			ref = p.ID.String()
		}
		refs[p.ID] = ref
	}
	return refs
}

func catalogued(ids []mstrapi.PrivilegeID, refs map[mstrapi.PrivilegeID]string) bool {
	return !slices.ContainsFunc(ids, func(id mstrapi.PrivilegeID) bool { return refs[id] == "" })
}

// difference lists the ids in all that are not in known.
func difference(all, known []mstrapi.PrivilegeID) string {
	var out []string
	for _, id := range all {
		if !slices.Contains(known, id) {
			out = append(out, id.String())
		}
	}
	return strings.Join(out, ", ")
}

func privilegeList(ids []mstrapi.PrivilegeID, refs map[mstrapi.PrivilegeID]string) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, id := range ids {
		item := scalar(refs[id])
		if refs[id] == id.String() {
			item = &yaml.Node{Kind: yaml.ScalarNode, Value: refs[id]}
		} else {
			item.LineComment = "# " + id.String()
		}
		list.Content = append(list.Content, item)
	}
	if len(ids) == 0 {
		list.Style = yaml.FlowStyle
	}
	return list
}

// pair is a key with its value.
type pair struct {
	key   string
	value *yaml.Node
}

func mapping(pairs ...pair) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range pairs {
		add(m, p.key, p.value)
	}
	return m
}

func add(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, scalar(key), value)
}

// scalar returns s as a YAML string: the encoder quotes it where YAML would take
// it for something else.
func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if n.Style == yaml.LiteralStyle || strings.ContainsFunc(s, clean.Unsafe) {
		// A name with line ends stays on one line, so that it cannot pass for YAML,
		// and what could fool a reader stands as an escape.
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
