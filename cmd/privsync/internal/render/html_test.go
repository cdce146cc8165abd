package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

func htmlOf(t interface {
	Helper()
	Fatal(...any)
}, doc any, o HTMLOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, doc, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// body is a page without its style and script, which have files of their own.
func body(page string) string {
	return strings.NewReplacer(pageStyle, "…", pageShared, "…", pageScript, "…", pageDataScript, "…").Replace(page)
}

// part is one part of a page: the element with the id, or the header for "".
func part(t *testing.T, page, id string) []byte {
	t.Helper()
	open, end := `<section id="`+id+`"`, "</section>\n"
	if id == "" {
		open, end = "<header", "</header>\n"
	}
	_, rest, found := strings.Cut(page, open)
	inside, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("the page has no part %q", id)
	}
	return []byte(open + inside + end)
}

// TestHTMLGolden pins the parts of a page, each of a document of which it shows little.
// What a page does, TestBrowser tells.
func TestHTMLGolden(t *testing.T) {
	one := samplePlan()
	one.Changes = one.Changes[:1]
	applied := sampleReport()
	applied.Principals, applied.Findings = applied.Principals[2:3], applied.Findings[:2]
	ended := sampleReport()
	ended.Run.Outcome, ended.Run.Recovered, ended.Principals, ended.Findings = executor.RunRefused, true, nil, nil
	ended.Error = &executor.Error{Message: "a guard was exceeded"}
	audit := sampleAudit()
	audit.Principals, audit.Findings = audit.Principals[4:5], nil
	for _, c := range []struct {
		name, part string
		doc        any
		o          HTMLOptions
	}{
		{"head-plan.html", "", emptyPlan(), HTMLOptions{}},
		{"head-report.html", "", ended, HTMLOptions{}},
		{"attention-plan.html", "attention", one, HTMLOptions{Guards: sampleGuards()}},
		{"attention-report.html", "attention", ended, HTMLOptions{}},
		{"summary.html", "summary", one, HTMLOptions{}},
		{"matrix.html", "matrix", audit, HTMLOptions{Names: catalogue()}},
		{"principal-plan.html", "principals", one, HTMLOptions{}},
		{"principal-report.html", "principals", applied, HTMLOptions{}},
		{"principal-audit.html", "principals", audit, HTMLOptions{Names: catalogue()}},
		{"principal-packed.html", "principals", audit, HTMLOptions{Names: catalogue(), DataFrom: 1}},
		{"findings.html", "findings", applied, HTMLOptions{}},
		{"exceptions.html", "exceptions", audit, HTMLOptions{}},
		{"commands.html", "commands", applied, HTMLOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) { golden(t, c.name, part(t, htmlOf(t, c.doc, c.o), c.part)) })
	}
}

// Who made a plan, that it needs approval, and who gave it stand on the page.
func TestHTMLApprovals(t *testing.T) {
	plan := samplePlan()
	plan.Maker = "octo <b>"
	plan.Safety.Approval = &planner.Approval{Required: 2}
	report := sampleReport()
	report.Plan = &executor.PlanRef{
		Digest: "sha256:0", Maker: "octo <b>",
		Approvals: []executor.Approval{{By: "alice@x", Key: "SHA256:aaa"}, {By: "bob@x", Key: "SHA256:bbb"}},
	}
	for _, c := range []struct {
		name string
		doc  any
		want []string
	}{
		{"plan", plan, []string{"<dt>Maker</dt><dd><bdi>octo &lt;b&gt;</bdi></dd>", "needs approval by 2 people"}},
		{"report", report, []string{"<dt>Plan&#39;s maker</dt><dd><bdi>octo &lt;b&gt;</bdi></dd>", "alice@x with key SHA256:aaa", "bob@x with key SHA256:bbb"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := htmlOf(t, c.doc, HTMLOptions{})
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
}

// elements gives every element of a page and fails if it is not well formed
// enough to say.
func elements(t interface{ Fatal(...any) }, page string) []html.Token {
	var out []html.Token
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			return out
		case html.StartTagToken, html.SelfClosingTagToken:
			out = append(out, z.Token())
		}
	}
}

// TestHTMLIsSelfContained: nothing on the page refers to anything outside it,
// and its policy names exactly its own style and script.
func TestHTMLIsSelfContained(t *testing.T) {
	for _, doc := range []any{samplePlan(), sampleReport(), sampleAudit()} {
		page := htmlOf(t, doc, HTMLOptions{})
		policy := ""
		for _, e := range elements(t, page) {
			for _, a := range e.Attr {
				switch {
				case a.Key == "content" && strings.Contains(a.Val, "default-src"):
					policy = a.Val
				case a.Key == "style", strings.HasPrefix(a.Key, "on"), a.Key == "src", a.Key == "srcset", a.Key == "action":
					t.Errorf("<%s> has the attribute %s", e.Data, a.Key)
				case a.Key == "href" && !strings.HasPrefix(a.Val, "#"):
					t.Errorf("<%s> refers to %s", e.Data, a.Val)
				}
			}
		}
		for _, part := range []struct{ tag, directive string }{{"style", "style-src"}, {"script", "script-src"}} {
			_, rest, _ := strings.Cut(page, "<"+part.tag+">")
			text, _, found := strings.Cut(rest, "</"+part.tag+">")
			sum := sha256.Sum256([]byte(text))
			want := part.directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
			if !found || !strings.Contains(policy, want) {
				t.Errorf("policy %q does not hold %q", policy, want)
			}
		}
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("policy %q is not strict", policy)
		}
		if strings.Contains(pageStyle, "url(") || strings.Contains(pageStyle, "@import") {
			t.Error("the style refers to something")
		}
	}
}

// TestHTMLHostile: no string of a document makes an element or an attribute,
// and every one that is shown can be read.
func TestHTMLHostile(t *testing.T) {
	shape := func(page string) string {
		var b strings.Builder
		for _, e := range elements(t, page) {
			b.WriteString(e.Data)
			for _, a := range e.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	type failing interface {
		Helper()
		Fatal(...any)
	}
	docs := []func(next func() string) any{
		func(next func() string) any { return hostilePlan(2, next) },
		func(next func() string) any {
			r := hostileReport(2, next)
			ours(r, func(int) int { return 0 })
			return r
		},
	}
	render := func(t failing, doc func(next func() string) any, s string) string {
		next := func() string { return s }
		return htmlOf(t, doc(next), HTMLOptions{Guards: hostileGuards(2, next), Names: map[mstrapi.PrivilegeID]string{1: s}})
	}
	var tame []string
	for _, doc := range docs {
		tame = append(tame, shape(render(t, doc, "tame")))
	}
	rapid.Check(t, func(t *rapid.T) {
		s := hostileString().Draw(t, "string")
		for i, doc := range docs {
			page := render(t, doc, s)
			if shape(page) != tame[i] {
				t.Fatalf("%q changes the page's elements", s)
			}
			if strings.ContainsFunc(body(page), func(r rune) bool { return r != '\n' && promised(r) }) {
				t.Fatalf("%q gets control characters into the page", s)
			}
			if !strings.Contains(page, html.EscapeString(Clean(s))[:1]) || !strings.Contains(page, marker) {
				t.Fatalf("%q is not shown", s)
			}
		}
	})
}

// TestHTMLMatrix reads the matrix of an audit back.
func TestHTMLMatrix(t *testing.T) {
	page := htmlOf(t, sampleAudit(), HTMLOptions{Names: catalogue()})
	for row, want := range map[string]string{
		"Contractors": `data-s="df".*<td class=d>D.*<td class=f>F`,
		"Night Shift": `data-s="dm".*<td class=m>M<td class=m>M<td class=d>D`,
		"Demo User":   `data-s="bims".*<td class=m>M<td class=i>I.*<td class=s>S.*<td class=b>B`,
		"Maria Reyes": `data-s="fim".*<td class=i>I.*<td class=f>F.*<td class=m>M`,
		"Anna Smith":  `data-s="d"`,
	} {
		line := regexp.MustCompile(`(?m)^<tr.*<bdi>` + row + `</bdi>.*$`).FindString(page)
		if !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("row of %s = %s, want %s", row, line, want)
		}
	}
}

// believable is a large audit of a plausible company.
func believable(groups, users, privileges int) *executor.Report {
	first := []string{"Anna", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "Grace", "Hiro", "Ines", "João", "Kwame", "Lena", "María", "Noor", "Oskar", "Priya"}
	last := []string{"Smith", "Nguyen", "García", "Müller", "Okafor", "Rossi", "Tanaka", "Kowalski", "Haddad", "Silva", "Larsen", "Dubois"}
	teams := []string{"Finance Analysts", "Night Shift", "Contractors", "System Monitors", "Web Developers", "Sales EMEA", "Sales Americas", "Data Platform", "Auditors", "Helpdesk", "Report Authors", "Everyone"}
	r := sampleAudit()
	r.Findings = nil
	r.Principals = nil
	var ids []mstrapi.PrivilegeID
	for id := range privileges {
		ids = append(ids, mstrapi.PrivilegeID(id+1))
	}
	var gs []mstrapi.ObjectRef
	for i := range groups {
		name := teams[i%len(teams)]
		if i >= len(teams) {
			name += fmt.Sprintf(" %d", i/len(teams)+1)
		}
		gs = append(gs, mstrapi.ObjectRef{ID: oid(5000 + i), Name: name})
	}
	seed := uint32(7)
	random := func(n int) int { seed = seed*1664525 + 1013904223; return int(seed>>8) % n }
	change := func(id mstrapi.PrivilegeID, r planner.Reason) planner.PlannedPrivilege {
		return planner.PlannedPrivilege{PrivilegeRef: planner.PrivilegeRef{ID: id, Name: bigCatalogue()[id]}, Reason: r}
	}
	add := func(p planner.Principal, parents []mstrapi.ObjectRef, directs, each int) {
		s := &executor.Sets{}
		from := make(map[mstrapi.PrivilegeID][]mstrapi.ObjectRef)
		for range directs {
			s.Direct.Add(ids[random(len(ids))])
		}
		for _, g := range parents {
			for k := range each {
				id := ids[(int(g.ID[31])*7+k*3)%len(ids)]
				if !slices.Contains(from[id], g) {
					from[id] = append(from[id], g)
				}
				s.Inherited.Add(id)
			}
		}
		for id := range s.Direct.Union(s.Inherited).All() {
			s.Sources = append(s.Sources, executor.PrivilegeSource{Privilege: id, Direct: s.Direct.Has(id), Groups: from[id]})
		}
		res := executor.Result{Principal: p, Outcome: executor.InSync, Before: s, After: s}
		switch random(7) {
		case 0:
			id := ids[random(len(ids))]
			if !s.Direct.Has(id) {
				res.Outcome = executor.Drifted
				res.Grant = append(res.Grant, change(id, planner.ReasonListed))
			}
		case 1:
			for id := range s.Direct.All() {
				reason := []planner.Reason{planner.ReasonNotListed, planner.ReasonForbidden, planner.ReasonExpired}[random(3)]
				res.Outcome = executor.Drifted
				res.Revoke = append(res.Revoke, change(id, reason))
				break
			}
		case 2:
			if random(6) == 0 {
				for id := range s.Inherited.Minus(s.Direct).All() {
					res.Outcome = executor.Drifted
					pr := planner.PrivilegeRef{ID: id, Name: bigCatalogue()[id]}
					r.Findings = append(r.Findings, planner.Finding{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError, Principal: &p, Privilege: &pr,
						Message: "the policy forbids a privilege that arrives through groups", Sources: []planner.Source{{Kind: mstrapi.Group, ID: from[id][0].ID, Name: from[id][0].Name}}, Position: at(10+random(300), 7)})
					break
				}
			}
		case 3:
			if random(8) == 0 {
				r.Findings = append(r.Findings, planner.Finding{Code: planner.CodeDisabledUser, Severity: planner.SeverityWarning, Principal: &p, Message: "the user is disabled on the server"})
			}
		}
		if random(90) == 0 {
			res = executor.Result{Principal: p, Outcome: executor.UnknownState, Error: &executor.Error{Status: 503, Code: "ERR0016", Message: "service unavailable", TicketID: "b3c1f0"}}
		}
		r.Principals = append(r.Principals, res)
	}
	for i, g := range gs {
		var parents []mstrapi.ObjectRef
		if i%3 == 1 {
			parents = gs[i-1 : i]
		}
		add(planner.Principal{Kind: mstrapi.Group, ID: g.ID, Name: g.Name}, parents, 4+privileges/8, privileges/6)
	}
	for i := range users {
		f, l := first[random(len(first))], last[random(len(last))]
		at := random(len(gs))
		parents := []mstrapi.ObjectRef{gs[at]}
		if other := random(len(gs)); other != at {
			parents = append(parents, gs[other])
		}
		add(user(10000+i, fmt.Sprintf("%s%s%d", strings.ToLower(f[:1]), strings.ToLower(l[:3]), i), f+" "+l), parents, random(4), privileges/3)
	}
	r.Summary = executor.Summary{Requests: int64(len(r.Principals) + 9), Principals: len(r.Principals)}
	for _, p := range r.Principals {
		switch p.Outcome {
		case executor.InSync:
			r.Summary.InSync++
		case executor.Drifted:
			r.Summary.Drifted++
		default:
			r.Summary.Unknown++
		}
	}
	return r
}

// bigCatalogue has names of the usual length for 200 privileges.
func bigCatalogue() map[mstrapi.PrivilegeID]string {
	verbs := []string{"Create", "Monitor", "Administer", "Export", "Use", "Schedule", "Configure", "Bypass"}
	nouns := []string{"Database Connections", "caches", "security roles", "documents and dashboards", "Project Documentation", "application objects", "user connections", "subscriptions for others", "Intelligence Server properties"}
	names := catalogue()
	for id := mstrapi.PrivilegeID(1); id <= 200; id++ {
		if names[id] == "" {
			names[id] = verbs[int(id)%len(verbs)] + " " + nouns[int(id*5)%len(nouns)]
		}
	}
	return names
}

// TestHTMLOfALargeAuditIsSmall: 2,000 principals and 60 privileges stay below
// 3 MB and few elements, all of them on the page, as data and in a plain list.
func TestHTMLOfALargeAuditIsSmall(t *testing.T) {
	r := believable(24, 1976, 60)
	page := htmlOf(t, r, HTMLOptions{Names: bigCatalogue()})
	t.Logf("%d bytes", len(page))
	if len(page) > 3_000_000 {
		t.Errorf("the page has %d bytes, want at most 3 MB", len(page))
	}
	if n := len(elements(t, page)); n > 12_000 {
		t.Errorf("the page has %d elements", n)
	}
	_, text, _ := strings.Cut(page, `<script type="application/json" id="data">`)
	text, _, _ = strings.Cut(text, "</script>")
	var data struct {
		Principals []struct{ N string }
		Columns    []string
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil || len(data.Principals) != 2000 || len(data.Columns) != 60 {
		t.Errorf("the data has %d principals and %d columns, %v", len(data.Principals), len(data.Columns), err)
	}
	_, plain, _ := strings.Cut(page, `<ul class="plain">`)
	plain, _, _ = strings.Cut(plain, "</ul>")
	if n := strings.Count(plain, "<li>"); n != 2000 {
		t.Errorf("the plain list has %d principals, want 2000", n)
	}
	if strings.Contains(page, "left out") || strings.Contains(page, "Left out") {
		t.Error("something is left out")
	}
}

// TestHTMLNamesTheWorst: who drifted comes before those of whom less is known, however
// bad these are, and of one outcome who differs most.
func TestHTMLNamesTheWorst(t *testing.T) {
	r := sampleAudit()
	r.Principals[0].Outcome = executor.Failed
	section := string(part(t, htmlOf(t, r, HTMLOptions{}), "attention"))
	var got []string
	for _, m := range regexp.MustCompile(`<h3>(.*?)</h3>|<a href="#p\d+"><bdi>(.*?)</bdi></a> (?:<small>.*</small> )?<strong>`).FindAllStringSubmatch(section, -1) {
		got = append(got, m[1]+m[2])
	}
	want := []string{"4 principals drifted, the worst first", "Maria Reyes", "Export Service", "Demo User", "Night Shift", "1 principal failed, the worst first", "Contractors", "Errors"}
	if !slices.Equal(got, want) {
		t.Errorf("named are %q, want %q", got, want)
	}
}

// TestHTMLLimits: what is too much is left out, said, and never what needs a
// person before what does not.
func TestHTMLLimits(t *testing.T) {
	r := believable(12, 300, 40)
	drifted := r.Summary.Drifted + r.Summary.Unknown
	page := htmlOf(t, r, HTMLOptions{MaxPrincipals: drifted + 1})
	if n := strings.Count(page, "<article "); n != drifted+1 {
		t.Errorf("%d sections, want %d", n, drifted+1)
	}
	if n := strings.Count(page, `<td class="o good">`); n != 1 {
		t.Errorf("%d rows in sync, want 1", n)
	}
	if want := fmt.Sprintf("%d principals left out of this page", len(r.Principals)-drifted-1); !strings.Contains(page, want) {
		t.Errorf("the page does not say %q", want)
	}

	p := emptyPlan()
	for i := range 402 {
		c := planner.Change{Principal: user(i, fmt.Sprintf("u%d", i), ""), Grant: []planner.PlannedPrivilege{planned(54, planner.ReasonListed)}}
		for id := range 1003 {
			c.Observed.Direct.Add(mstrapi.PrivilegeID(1000 + id))
		}
		p.Changes = append(p.Changes, c)
	}
	page = htmlOf(t, p, HTMLOptions{})
	if !strings.Contains(page, "Left out of the matrix, which would be too large to show: 4 privileges that few hold.") {
		t.Error("the page does not say what its matrix leaves out")
	}
}

func TestHTMLErrors(t *testing.T) {
	for _, doc := range []any{nil, (*planner.Plan)(nil), (*executor.Report)(nil), 7} {
		if err := HTML(&bytes.Buffer{}, doc, HTMLOptions{}); err == nil {
			t.Errorf("HTML(%T) gave no error", doc)
		}
	}
	if err := HTML(brokenWriter{}, sampleAudit(), HTMLOptions{}); !errors.Is(err, errBroken) {
		t.Errorf("HTML = %v, want %v", err, errBroken)
	}
}
