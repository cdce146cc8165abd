package mstrtest

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"privsync/mstrapi"
)

// Licence is a product that the server counts named users of. Its privileges are
// the server's own knowledge: no list tells them. Max is how many licences there
// are; [mstrapi.Unlimited] for no limit.
type Licence struct {
	Product    int // number in [mstrapi.LicenceProducts]
	Privileges []mstrapi.PrivilegeID
	Max        int
}

// licences is what the server knows about licences; guarded by Server.mu.
type licences struct {
	products   []Licence // by number
	compliance job
	audit      job
}

// job is a scan or an audit: its latest result, and the one under way.
type job struct {
	result json.RawMessage
	next   json.RawMessage // what becomes the result once lag is 0; nil: none
	polls  int             // questions for the status until it is done
	lag    int             // questions for the result until it is the new one
}

func (j *job) start(result json.RawMessage, polls, lag int) {
	j.next, j.polls, j.lag = result, polls, lag
}

// running answers a question for the status.
func (j *job) running() bool {
	if j.polls > 0 {
		j.polls--
		return true
	}
	return false
}

// latest answers a question for the result.
func (j *job) latest() json.RawMessage {
	if j.polls > 0 {
		j.polls--
	} else if j.next != nil {
		if j.lag--; j.lag < 0 {
			j.result, j.next = j.next, nil
		}
	}
	return j.result
}

// isLicenceJob reports whether a request to the endpoint changes what the server
// remembers of scans and audits.
func (e Endpoint) isLicenceJob() bool {
	switch e {
	case StartCompliance, ComplianceStatus, ComplianceResult, StartLicenceAudit, LicenceAuditStatus, LicenceAuditResult:
		return true
	}
	return false
}

// consumes returns the numbers of the products that p consumes by what it holds:
// none for the built-in administrator and for service accounts, as in the vendor's
// sample of an audit. The caller holds mu.
func (s *Server) consumes(p *principal) []int {
	out := []int{}
	if p.id == AdministratorUser || slices.ContainsFunc(p.class.ancestors, func(g *principal) bool { return g.id == ServiceAccountsGroup }) {
		return out
	}
	for _, l := range s.licences.products {
		if slices.ContainsFunc(l.Privileges, func(q mstrapi.PrivilegeID) bool { return p.holds(s.st.index[q]) }) {
			out = append(out, l.Product)
		}
	}
	return out
}

// Licensed returns the numbers of the products that a user consumes, as the
// server counts: none for a disabled one, see also [ServiceAccountsGroup].
func (s *Server) Licensed(id mstrapi.ObjectID) []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.st.byID[id]
	if p == nil || !p.enabled {
		return nil
	}
	return s.consumes(p)
}

// ScanLicences makes a scan at the moment, as the server does by itself at night.
func (s *Server) ScanLicences() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.licences.compliance = job{result: s.complianceNow(s.now())}
}

func licenceDate(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+0000") }

// complianceNow counts the users of each product. The caller holds mu.
func (s *Server) complianceNow(at time.Time) json.RawMessage {
	if s.options.Quirks.MixedLicenceKeys {
		return json.RawMessage(`{"complianceType":0,"inCompliance":true,"complianceResult":[]}`)
	}
	type entry struct {
		Name         string   `json:"name"`
		Type         *int     `json:"type,omitempty"`
		CurrentUsage int      `json:"currentUsage"`
		MaxUsage     int      `json:"maxUsage"`
		InCompliance bool     `json:"inCompliance"`
		Details      struct{} `json:"details"`
	}
	names := mstrapi.LicenceProducts()
	result := []entry{}
	whole := true
	for _, l := range s.licences.products {
		e := entry{Name: "Product " + names[l.Product].Name, Type: &l.Product, MaxUsage: l.Max}
		for _, u := range s.st.usersByName {
			if u.enabled && slices.Contains(s.consumes(u), l.Product) {
				e.CurrentUsage++
			}
		}
		e.InCompliance = l.Max < 0 || e.CurrentUsage <= l.Max
		whole = whole && e.InCompliance
		if s.options.Quirks.UntypedLicences {
			e.Type = nil
		}
		result = append(result, e)
	}
	return encoded(map[string]any{
		"complianceTime": licenceDate(at), "complianceType": 1, "inCompliance": whole, "complianceResult": result,
	})
}

// auditNow lists the users with what they consume. The caller holds mu.
func (s *Server) auditNow(at time.Time) json.RawMessage {
	type user struct {
		ID      mstrapi.ObjectID `json:"id"`
		Name    string           `json:"name"`
		Enabled bool             `json:"enabled"`
		LDAP    bool             `json:"LDAPUser"`
		Types   []int            `json:"licenseTypes"`
		Groups  []int            `json:"userGroupsIndex"`
		Created string           `json:"creationTime"`
		Changed string           `json:"modificationTime"`
	}
	groups := [][2]string{}
	index := make(map[*principal]int)
	for i, g := range s.st.groups {
		groups = append(groups, [2]string{string(g.id), g.name})
		index[g] = i
	}
	users := []user{}
	for _, p := range s.st.usersByName {
		u := user{ID: p.id, Name: p.name, Enabled: p.enabled, Types: s.consumes(p), Groups: []int{}, Created: licenceDate(time.UnixMilli(0)), Changed: licenceDate(time.UnixMilli(p.modified))}
		for _, g := range p.class.parents {
			u.Groups = append(u.Groups, index[g])
		}
		users = append(users, u)
	}
	return encoded(map[string]any{
		"auditTime": licenceDate(at), "userLicenses": users, "userGroups": groups, "contactLicenses": []int{}, "includeLDAP": false,
	})
}

func encoded(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("mstrtest: " + err.Error()) // types of this package only
	}
	return text
}

// licencePrivileges tells which privileges of a user consume a product.
func (s *Server) licencePrivileges(c *call) {
	if !s.mayManage(c) {
		return
	}
	name := c.param("licenseProduct")
	product := slices.IndexFunc(mstrapi.LicenceProducts(), func(p mstrapi.LicenceProduct) bool { return p.Name == name })
	at := slices.IndexFunc(s.licences.products, func(l Licence) bool { return l.Product == product })
	if at < 0 && (product < 0 || !s.options.Quirks.EmptyLicences) {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "the license product "+strconv.Quote(name)+" does not exist")
		return
	}
	p := s.find(c, mstrapi.User)
	if p == nil {
		return
	}
	mask := newBitset(s.st.words)
	if at >= 0 {
		mask = s.st.set(s.licences.products[at].Privileges)
	}
	held := s.appendHeld(nil, p, mask, "", time.Time{})
	o := newObject(c.resp.body, c.fields())
	o.string("licenseName", strings.ToLower(name))
	o.raw("pws", string(held[len(`{"privileges":`):len(held)-1]))
	c.resp.body = o.end()
}

// startJob starts a scan or an audit.
func (s *Server) startJob(c *call, j *job, result json.RawMessage) {
	if !s.mayManage(c) {
		return
	}
	polls := s.options.LicencePolls
	if polls <= 0 {
		polls = 2
	}
	j.start(result, polls, s.options.LicenceLag)
	id := string(DerivedID("queue", strconv.Itoa(c.n)))
	s.queues[id] = &queue{idle: true}
	c.resp.status = http.StatusCreated
	o := newObject(c.resp.body, c.fields())
	if o.key("link") {
		link := newObject(o.buf, nil)
		link.string("href", "/queues/"+id)
		link.string("type", http.MethodGet)
		o.buf = link.end()
	}
	c.resp.body = o.end()
}

// licenceJob answers a request about a scan or an audit.
func (s *Server) licenceJob(c *call) {
	j, now := &s.licences.compliance, s.complianceNow
	switch c.endpoint {
	case StartLicenceAudit, LicenceAuditStatus, LicenceAuditResult:
		j, now = &s.licences.audit, s.auditNow
	}
	switch c.endpoint {
	case StartCompliance, StartLicenceAudit:
		s.startJob(c, j, now(s.now()))
	case ComplianceStatus, LicenceAuditStatus:
		if s.mayManage(c) {
			o := newObject(c.resp.body, c.fields())
			o.bool("jobRunning", j.running())
			c.resp.body = o.end()
		}
	default:
		if s.mayManage(c) {
			result := j.latest()
			if result == nil {
				result = json.RawMessage(`{}`)
			}
			c.resp.body = append(c.resp.body, result...)
		}
	}
}

// licenceRoute finds the endpoint of a path about licences; "" for none.
func licenceRoute(path string) (get, post Endpoint) {
	switch path {
	case "/api/license/iServer/compliance":
		return "", StartCompliance
	case "/api/license/iServer/compliance/status":
		return ComplianceStatus, ""
	case "/api/license/iServer/compliance/result":
		return ComplianceResult, ""
	case "/api/license/iServer/audit":
		return "", StartLicenceAudit
	case "/api/license/iServer/audit/status":
		return LicenceAuditStatus, ""
	case "/api/license/iServer/audit/result":
		return LicenceAuditResult, ""
	}
	return "", ""
}

// RandomLicences gives env products for property tests: privileges of one product,
// of several, and of none; one product without a limit.
func RandomLicences(rng *rand.Rand, env *Environment) {
	for i, product := range []int{2, 7, 8, 41} {
		l := Licence{Product: product, Max: rng.IntN(2 * len(env.Users))}
		if i == 1 {
			l.Max = mstrapi.Unlimited
		}
		for _, p := range env.Catalogue {
			if rng.Float64() < 0.2 {
				l.Privileges = append(l.Privileges, p.ID)
			}
		}
		if len(l.Privileges) > 0 {
			env.Licences = append(env.Licences, l)
		}
	}
}
