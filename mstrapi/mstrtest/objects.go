package mstrtest

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"privsync/mstr"
	"privsync/mstrapi"
)

// Object types and subtypes of the metadata.
const (
	objectType   = "34"
	userSubtype  = "8704"
	groupSubtype = "8705"
)

// What every user and group has in common, as the documents show it.
const (
	ownerJSON = `{"name":"Administrator","id":"54F3D26011D2896560009A8E67019608"}`
	aclJSON   = `[{"deny":false,"type":1,"rights":255,"trusteeId":"5F3FAFE111D2D8CC6000CC8E67019608",` +
		`"trusteeName":"System Administrators","trusteeType":34,"trusteeSubtype":8705,"inheritable":false}]`
	userAncestorsJSON = `[{"name":"CASTOR_SERVER_CONFIGURATION","id":"5F90C74FB2944D70930B9BDDA6D2FBF1","level":2},` +
		`{"name":"Users","id":"73F7482611D3596C60001B8F67019608","level":1}]`
	groupAncestorsJSON = `[{"name":"CASTOR_SERVER_CONFIGURATION","id":"5F90C74FB2944D70930B9BDDA6D2FBF1","level":2},` +
		`{"name":"User Groups","id":"B52F6A4A4A5E4FBFA5A1B4E3C2D10987","level":1}]`
	createdMillis = 1106072306000 // 2005-01-18T18:18:26Z, the date in the documents
)

// initials are the first letters of the first and the last word of a name.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 {
		return ""
	}
	first, _ := utf8.DecodeRuneInString(words[0])
	out := strings.ToUpper(string(first))
	if len(words) > 1 {
		last, _ := utf8.DecodeRuneInString(words[len(words)-1])
		out += strings.ToUpper(string(last))
	}
	return out
}

// appendHead writes the fields that objects and rows of both kinds start with.
func appendHead(o *object, p *principal) {
	o.string("name", p.name)
	o.string("id", string(p.id))
	o.raw("type", objectType)
	if p.kind == mstrapi.User {
		o.string("abbreviation", p.login)
		o.raw("subtype", userSubtype)
	} else {
		o.raw("subtype", groupSubtype)
	}
	if o.key("dateCreated") {
		o.buf = appendTime(o.buf, createdMillis)
	}
	if o.key("dateModified") {
		o.buf = appendTime(o.buf, p.modified)
	}
	if p.tenant != "" {
		o.string("mdTenantId", string(DerivedID("tenant", p.tenant)))
		o.string("mdTenantName", p.tenant)
	}
	o.raw("acg", p.acg())
	o.raw("owner", ownerJSON)
	o.raw("extType", "0")
}

// appendObject appends the whole object, as GET of one and PATCH answer it.
func appendObject(b []byte, p *principal, fields fieldFilter) []byte {
	o := newObject(b, fields)
	appendHead(&o, p)
	if o.key("version") {
		o.buf = appendString(o.buf, string(DerivedID("version "+strconv.FormatInt(p.modified, 10), string(p.id))))
	}
	o.raw("acl", aclJSON)
	if p.kind == mstrapi.Group {
		o.raw("ancestors", groupAncestorsJSON)
		return o.end()
	}
	o.raw("ancestors", userAncestorsJSON)
	o.string("username", p.login)
	o.string("fullName", p.name)
	o.bool("enabled", p.enabled)
	o.bool("passwordModifiable", false)
	o.bool("requireNewPassword", false)
	o.bool("standardAuth", true)
	if o.key("memberships") {
		o.buf = appendMemberships(o.buf, p)
	}
	o.string("initials", initials(p.name))
	return o.end()
}

// appendMemberships appends the direct parents of a user, sorted by name.
func appendMemberships(b []byte, p *principal) []byte {
	b = append(b, '[')
	for i, g := range p.class.parents {
		if i > 0 {
			b = append(b, ',')
		}
		o := newObject(b, nil)
		o.string("id", string(g.id))
		o.string("name", g.name)
		o.raw("source", `{"type":["MSTR"]}`)
		b = o.end()
	}
	return append(b, ']')
}

// appendRow appends one row of a list.
func appendRow(b []byte, p *principal, fields fieldFilter, bare bool) []byte {
	o := newObject(b, fields)
	appendHead(&o, p)
	if p.kind == mstrapi.User && !bare {
		o.string("username", p.login)
		o.string("fullName", p.name)
		o.bool("enabled", p.enabled)
		o.string("initials", initials(p.name))
	}
	return o.end()
}

func (s *Server) list(c *call) {
	quirks := &s.options.Quirks
	users := c.endpoint == ListUsers
	if users && quirks.EmptyUserList {
		c.resp.body = append(c.resp.body, '{', '}')
		return
	}
	var rows []*principal
	id, name, login := c.param("id"), c.param("nameBegins"), ""
	if users {
		login = c.param("abbreviationBegins")
	}
	switch {
	case id != "":
		if p := s.st.byID[mstrapi.ObjectID(strings.ToUpper(id))]; p != nil && (p.kind == mstrapi.User) == users {
			rows = []*principal{p}
		}
	case login != "":
		rows = begins(s.st.usersByLogin, login, func(p *principal) string { return p.login })
	case users:
		rows = s.st.usersByName
	default:
		rows = s.st.groups
	}
	switch {
	case name == "":
	case id == "" && login == "":
		rows = begins(rows, name, func(p *principal) string { return p.name })
	default:
		rows = slices.DeleteFunc(slices.Clone(rows), func(p *principal) bool { return !matches(name+"*", p.name) })
	}
	if id != "" && login != "" {
		rows = slices.DeleteFunc(slices.Clone(rows), func(p *principal) bool { return !matches(login+"*", p.login) })
	}
	s.page(c, rows, users && !quirks.WholeRows, !quirks.NoCount && (id == "" || !quirks.NoCountWithID))
}

func (s *Server) members(c *call) {
	g := s.find(c, mstrapi.Group)
	if g == nil {
		return
	}
	quirks := &s.options.Quirks
	flat := c.param("flatMembers") == "true" && !quirks.FlatIgnored
	rows := s.st.members(g, flat)
	if flat && !quirks.FlatWithGroups {
		first := sort.Search(len(rows), func(i int) bool { return rows[i].kind == mstrapi.User })
		rows = rows[first:]
	}
	s.page(c, rows, false, !quirks.NoCount)
}

// page answers with the part of rows that offset and limit ask for.
func (s *Server) page(c *call, rows []*principal, bare, count bool) {
	offset, ok1 := c.number("offset", 0, 0)
	limit, ok2 := c.number("limit", -1, -1)
	if !ok1 || !ok2 {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "offset and limit must be integers; limit -1 means all")
		return
	}
	total := len(rows)
	rows = rows[min(offset, total):]
	if limit >= 0 {
		rows = rows[:min(limit, len(rows))]
	}
	if cap := s.options.PageCap; cap > 0 {
		rows = rows[:min(cap, len(rows))]
	}
	if count {
		key := s.options.Quirks.CountHeader
		if key == "" {
			key = "X-MSTR-Total-Count"
		}
		c.resp.set(key, strconv.Itoa(total))
	}
	fields := c.fields()
	b := append(c.resp.body, '[')
	for i, p := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		start := len(b)
		b = appendRow(b, p, fields, bare)
		c.resp.rows = append(c.resp.rows, [2]int{start, len(b)})
	}
	c.resp.body = append(b, ']')
}

func (s *Server) memberships(c *call) {
	g := s.find(c, mstrapi.Group)
	if g == nil {
		return
	}
	fields := c.fields()
	b := c.resp.body
	if s.options.Quirks.WrappedMemberships {
		b = append(b, `{"memberships":`...)
	}
	b = append(b, '[')
	for i, parent := range g.class.parents {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRow(b, parent, fields, false)
	}
	b = append(b, ']')
	if s.options.Quirks.WrappedMemberships {
		b = append(b, '}')
	}
	c.resp.body = b
}

func (s *Server) getPrincipal(c *call, kind mstrapi.Kind) {
	if p := s.find(c, kind); p != nil {
		c.resp.body = appendObject(c.resp.body, p, c.fields())
	}
}

func (s *Server) privileges(c *call, kind mstrapi.Kind, at time.Time) {
	if !s.mayManage(c) {
		return
	}
	p := s.find(c, kind)
	if p == nil {
		return
	}
	mask, ok := s.st.mask(c.param("privilege.level"))
	if !ok {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "privilege.level must be server or project")
		return
	}
	if !c.fields().keeps("privileges") {
		c.resp.body = append(c.resp.body, '{', '}')
		return
	}
	c.resp.body = s.appendHeld(c.resp.body, p, mask, mstrapi.ObjectID(c.param("projectId")), at)
}

// mayManage answers 403 and returns false unless the session's user holds the
// user manager privilege at this moment.
func (s *Server) mayManage(c *call) bool {
	if m := s.st.manager; m >= 0 && !c.user.holds(m) {
		s.refuse(c)
		return false
	}
	return true
}

// find returns the principal in the path, or answers 404 and returns nil.
func (s *Server) find(c *call, kind mstrapi.Kind) *principal {
	p := s.st.byID[mstrapi.ObjectID(c.id)]
	if p == nil {
		p = s.st.byID[mstrapi.ObjectID(strings.ToUpper(c.id))]
	}
	if p == nil || p.kind != kind || slices.Contains(s.options.Quirks.Ghosts, p.id) {
		s.missing(c)
		return nil
	}
	return p
}

// missing answers that the principal in the path does not exist.
func (s *Server) missing(c *call) {
	s.fail(c.resp, c.n, http.StatusNotFound, "ERR004", codeNotFound,
		"(Object with ID '"+c.id+"' and type '34' is not found in Metadata. It may have been deleted.)")
}

func (s *Server) listCatalogue(c *call) {
	fields := c.fields()
	b := append(c.resp.body, '[')
	var second []byte
	catalogue := s.named(s.st.catalogue)
	for i := range catalogue {
		if i > 0 {
			b = append(b, ',')
		}
		p, begin := &catalogue[i], len(b)
		o := newObject(b, fields)
		o.string("id", p.ID.String())
		o.string("name", p.Name)
		o.string("description", p.Description)
		if o.key("categories") {
			o.buf = append(o.buf, '[')
			for k, category := range p.Categories {
				if k > 0 {
					o.buf = append(o.buf, ',')
				}
				o.buf = appendString(o.buf, category)
			}
			o.buf = append(o.buf, ']')
		}
		o.bool("isProjectLevelPrivilege", p.ProjectLevel)
		b = o.end()
		if i == 1 {
			second = slices.Clone(b[begin:])
		}
	}
	if s.options.Quirks.OddCatalogue && second != nil {
		b = appendOdd(b, second)
	}
	c.resp.body = append(b, ']')
}

// begins returns the rows whose text starts with a pattern in which ? and *
// are wildcards. Rows must be sorted by the lower-case text, so that what
// stands before the first wildcard is found by bisection.
func begins(rows []*principal, pattern string, text func(*principal) string) []*principal {
	literal := strings.ToLower(pattern)
	wild := strings.IndexAny(literal, "?*")
	if wild >= 0 {
		literal = literal[:wild]
	}
	low := sort.Search(len(rows), func(i int) bool { return strings.ToLower(text(rows[i])) >= literal })
	high := low + sort.Search(len(rows)-low, func(i int) bool {
		return !strings.HasPrefix(strings.ToLower(text(rows[low+i])), literal)
	})
	rows = rows[low:high]
	if wild < 0 {
		return rows
	}
	var out []*principal
	for _, p := range rows {
		if matches(pattern+"*", text(p)) {
			out = append(out, p)
		}
	}
	return out
}

// matches reports whether text is matched by a pattern of literal characters,
// ? (one) and * (any number), without regard to case.
func matches(pattern, text string) bool {
	return mstr.Wildcard(strings.ToLower(pattern), strings.ToLower(text))
}

// param returns a query parameter. It does not build a map: this runs for
// every request of a benchmark.
func (c *call) param(name string) string {
	rest := c.req.URL.RawQuery
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		key, value, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(key, "%+") {
			unescaped, err := url.QueryUnescape(key)
			if err != nil {
				continue
			}
			key = unescaped
		}
		if key != name {
			continue
		}
		if !strings.ContainsAny(value, "%+") {
			return value
		}
		unescaped, err := url.QueryUnescape(value)
		if err != nil {
			continue
		}
		return unescaped
	}
	return ""
}

func (c *call) fields() fieldFilter { return parseFields(c.param("fields")) }

// number returns an integer parameter of at least low.
func (c *call) number(name string, missing, low int) (int, bool) {
	text := c.param(name)
	if text == "" {
		return missing, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= low
}
