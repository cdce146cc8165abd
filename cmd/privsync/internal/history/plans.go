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
	type planned struct {
		planner.PlannedPrivilege
		revoke bool
	}
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
			for k, list := range [][]planner.PlannedPrivilege{c.Grant, c.Revoke} {
				for _, q := range list {
					items[i][item{c.Principal, q.ID}] = planned{q, k == 1}
				}
			}
		}
	}
	said := func(p planned) string {
		words := []string{"grant", string(p.Reason)}
		if p.revoke {
			words[0] = "revoke"
		}
		if p.Until != "" {
			words = append(words, "until "+p.Until)
		}
		if p.Ticket != "" {
			words = append(words, p.Ticket)
		}
		return words[0] + " (" + strings.Join(words[1:], ", ") + ")"
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
	for at, p := range items[0] {
		q, both := items[1][at]
		switch {
		case skip(at.who):
		case !both || q.revoke != p.revoke:
			add(at, p, droppedOf(p.revoke), said(p), "")
			if both {
				add(at, q, addedOf(q.revoke), "", said(q))
			}
		case p.Until != q.Until || p.Ticket != q.Ticket || p.Reason != q.Reason:
			add(at, q, TermsChanged, said(p), said(q))
		}
	}
	for at, q := range items[1] {
		if _, both := items[0][at]; !both && !skip(at.who) {
			add(at, q, addedOf(q.revoke), "", said(q))
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

func addedOf(revoke bool) What {
	if revoke {
		return RevokeAdded
	}
	return GrantAdded
}

func droppedOf(revoke bool) What {
	if revoke {
		return RevokeDropped
	}
	return GrantDropped
}
