package history

import (
	"fmt"
	"strings"

	"privsync/mstrapi"
	"privsync/planner"
)

// PlanDoc is a plan and the file that it was read from.
type PlanDoc struct {
	File string
	Plan *planner.Plan
}

func (d PlanDoc) side() Side {
	p := d.Plan
	return Side{File: d.File, Digest: p.Digest, At: p.CreatedAt, Server: p.Environment.URL, Policy: p.Policy.Name, Scope: string(p.Scope.Level)}
}

// Plans says what the one plan would do and the other would not.
func Plans(tool planner.Tool, a, b PlanDoc) *Diff {
	d := &Diff{Format: DiffFormat, Tool: tool, Kind: OfPlans, A: a.side(), B: b.side(), Changes: []Change{}, NotLookedAt: []Missing{}}
	type item struct {
		who       planner.Principal
		privilege mstrapi.PrivilegeID
	}
	type verb struct {
		word           string
		added, dropped What
	}
	type planned struct {
		planner.PlannedPrivilege
		verb
	}
	grant, revoke := verb{"grant", GrantAdded, GrantDropped}, verb{"revoke", RevokeAdded, RevokeDropped}
	unread := [2]map[mstrapi.ObjectID]string{}
	items := [2]map[item]planned{}
	whole := [2]bool{}
	for i, p := range []*planner.Plan{a.Plan, b.Plan} {
		unread[i], items[i], whole[i] = make(map[mstrapi.ObjectID]string), make(map[item]planned), p.Complete
		for _, f := range p.Findings {
			if f.Code == planner.CodeReadFailed && f.Principal != nil && f.Principal.ID != "" {
				unread[i][f.Principal.ID] = f.Message
			}
		}
		for j := range p.Changes {
			c := &p.Changes[j]
			for _, q := range c.Grant {
				items[i][item{c.Principal, q.ID}] = planned{q, grant}
			}
			for _, q := range c.Revoke {
				items[i][item{c.Principal, q.ID}] = planned{q, revoke}
			}
		}
	}
	said := func(p planned) string {
		words := []string{string(p.Reason)}
		if p.Until != "" {
			words = append(words, "until "+p.Until)
		}
		if p.Ticket != "" {
			words = append(words, p.Ticket)
		}
		return p.word + " (" + strings.Join(words, ", ") + ")"
	}
	add := func(at item, p planned, what What, before, after string) {
		who := at.who
		d.Changes = append(d.Changes, Change{Principal: &who, Privilege: p.PrivilegeRef, What: what, BeforeSaid: before, AfterSaid: after})
	}
	missing := make(map[mstrapi.ObjectID]bool)
	skip := func(who planner.Principal) bool {
		_, inA := unread[0][who.ID]
		_, inB := unread[1][who.ID]
		return inA || inB
	}
	for at := range either(items[0], items[1]) {
		p, inA := items[0][at]
		q, inB := items[1][at]
		if skip(at.who) {
			continue
		}
		if inA && inB && p.verb == q.verb {
			if p.Until != q.Until || p.Ticket != q.Ticket || p.Reason != q.Reason {
				add(at, q, TermsChanged, said(p), said(q))
			}
			continue
		}
		if inA {
			add(at, p, p.dropped, said(p), "")
		}
		if inB {
			add(at, q, q.added, "", said(q))
		}
	}
	for i, in := range []string{"a", "b"} {
		p := []*planner.Plan{a.Plan, b.Plan}[i]
		for _, f := range p.Findings {
			if f.Principal == nil || unread[i][f.Principal.ID] == "" || missing[f.Principal.ID] {
				continue
			}
			missing[f.Principal.ID] = true
			m := Missing{Principal: f.Principal, In: in, Why: unread[i][f.Principal.ID]}
			if other := unread[1-i][f.Principal.ID]; other != "" {
				m.In = "both"
			}
			d.NotLookedAt = append(d.NotLookedAt, m)
		}
	}
	d.finish()
	// Something that no principal is named for was not read, too.
	d.Equal = d.Equal && whole[0] && whole[1]
	for i, side := range []*Side{&d.A, &d.B} {
		if !whole[i] && len(unread[i]) == 0 {
			d.Settings = append(d.Settings, Setting{Name: fmt.Sprintf("plan %s", side.File), Before: "", After: "incomplete: not everything that it is about could be read"})
		}
	}
	return d
}
