package history

import (
	"cmp"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// step is what one report says of one principal.
type step struct {
	run             *Run
	scope           mstrapi.Level
	audit           bool
	before, after   *executor.Sets
	granted         planner.Set
	revoked         planner.Set
	planned         intended
	readAt, endedAt time.Time // when it was read, and when the run had ended
	groups          []change  // what the run did to groups
}

// change is what a run did to one group.
type change struct {
	group            mstrapi.ObjectRef
	granted, revoked planner.Set
	intended
}

// intended is what a run had planned for somebody.
type intended struct{ grant, revoke []planner.PlannedPrivilege }

// ticket is the policy's reason for what was planned of a privilege.
func (p intended) ticket(q mstrapi.PrivilegeID) string {
	for _, list := range [][]planner.PlannedPrivilege{p.grant, p.revoke} {
		for i := range list {
			if list[i].ID == q {
				return list[i].Ticket
			}
		}
	}
	return ""
}

// stepOf returns what a report says of a principal; false where it says nothing of what
// is there.
func stepOf(r *executor.Report, run *Run, groups []change, res *executor.Result) (step, bool) {
	if res.Before == nil && res.After == nil {
		return step{}, false
	}
	s := step{
		run: run, scope: r.Scope.Level, audit: r.Run.Command == "audit", before: res.Before, after: res.After,
		granted: planner.SetOf(res.Granted...), revoked: planner.SetOf(res.Revoked...), planned: intended{res.Grant, res.Revoke}, groups: groups,
		readAt: cmp.Or(res.StartedAt, r.Run.StartedAt), endedAt: r.Run.FinishedAt,
	}
	if s.audit {
		s.before, s.endedAt = nil, s.readAt
	}
	return s, true
}

// changedGroups returns what the run of a report did to groups.
func changedGroups(r *executor.Report) []change {
	var out []change
	for i := range r.Principals {
		res := &r.Principals[i]
		if res.Principal.Kind == mstrapi.Group && len(res.Granted)+len(res.Revoked) > 0 {
			out = append(out, change{
				mstrapi.ObjectRef{ID: res.Principal.ID, Name: res.Principal.Name},
				planner.SetOf(res.Granted...), planner.SetOf(res.Revoked...), intended{res.Grant, res.Revoke},
			})
		}
	}
	return out
}

// look is what is known of one privilege of a principal at one moment.
type look struct {
	at     time.Time
	direct bool
	held   bool // directly or through a group
	step   *step
	end    bool // at the end of the step's run
}

// looks are the moments at which it is known whether the principal holds q, in order.
func looks(steps []step, q mstrapi.PrivilegeID, known levels) []look {
	out := make([]look, 0, 2*len(steps))
	for i := range steps {
		s := &steps[i]
		if !known.speaks(s.scope, q) {
			continue
		}
		for j, sets := range []*executor.Sets{s.before, s.after} {
			if sets == nil {
				continue
			}
			l := look{at: s.readAt, step: s, end: j == 1, direct: sets.Direct.Has(q)}
			l.held = l.direct || sets.Inherited.Has(q)
			if l.end {
				l.at = s.endedAt
			}
			out = append(out, l)
		}
	}
	return out
}

// levels are those of privileges, as far as reports tell them: one of a single level
// speaks of no other privileges.
type levels map[mstrapi.PrivilegeID]mstrapi.Level

// learn learns from a report.
func (l levels) learn(r *executor.Report) {
	if r.Scope.Level == mstrapi.LevelAll {
		return
	}
	for _, p := range r.Privileges {
		l[p.ID] = r.Scope.Level
	}
	for i := range r.Principals {
		for _, list := range [][]planner.PlannedPrivilege{r.Principals[i].Grant, r.Principals[i].Revoke} {
			for _, p := range list {
				l[p.ID] = r.Scope.Level
			}
		}
	}
}

// speaks reports whether a report of the scope says of q whether it is held.
func (l levels) speaks(scope mstrapi.Level, q mstrapi.PrivilegeID) bool {
	return scope == mstrapi.LevelAll || l[q] == scope
}

// cause says what made the difference between two moments that follow each other.
func cause(from, to look, q mstrapi.PrivilegeID) Cause {
	c := Cause{After: moment(from.at), Until: moment(to.at)}
	s := to.step
	if !to.end || s == nil || s.audit {
		c.OutOfBand = true
		return c
	}
	gained := to.held && !from.held || to.direct && !from.direct
	did := s.revoked
	if gained {
		did = s.granted
	}
	if did.Has(q) && from.direct != to.direct {
		c.By, c.Ticket = s.run, s.planned.ticket(q)
		return c
	}
	if from.held != to.held {
		for i := range s.groups {
			g := &s.groups[i]
			if gained && g.granted.Has(q) || !gained && g.revoked.Has(q) {
				c.By, c.Through, c.Ticket = s.run, append(c.Through, g.group), cmp.Or(c.Ticket, g.ticket(q))
			}
		}
	}
	c.OutOfBand = c.By == nil
	return c
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// wayOf returns how the privilege is held in sets; nil: it is not.
func wayOf(sets *executor.Sets, q mstrapi.PrivilegeID) *Way {
	w := Way{Direct: sets.Direct.Has(q), Inherited: sets.Inherited.Has(q)}
	for i := range sets.Sources {
		if s := &sets.Sources[i]; s.Privilege == q {
			w.Groups, w.Roles, w.Other = s.Groups, s.Roles, s.Other
		}
	}
	if !w.Direct && !w.Inherited && len(w.Roles) == 0 && !w.Other {
		return nil
	}
	return &w
}
