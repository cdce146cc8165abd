package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// SinceFormat is the format of a [Since].
const SinceFormat = "privsync/history/v1"

// Since says since when a principal holds what, as reports tell it. Its JSON form is
// described by schema/history.schema.json.
type Since struct {
	Format    string            `json:"format"`
	Tool      planner.Tool      `json:"tool"`
	Principal planner.Principal `json:"principal"` // as the newest report names it
	Server    string            `json:"server"`
	Chains    []Chain           `json:"chains"`
	// Looks is how many reports tell what the principal held, Unknown how many name it
	// and do not. First and Last are when the first and the last of them read it.
	Looks      int              `json:"looks"`
	Unknown    int              `json:"unknown"`
	First      time.Time        `json:"first"`
	Last       time.Time        `json:"last"`
	Privileges []PrivilegeSince `json:"privileges"` // ever held, by number
}

// PrivilegeSince is what became of one privilege.
type PrivilegeSince struct {
	planner.PrivilegeRef
	Held bool `json:"held"` // when it was last looked at
	Way  *Way `json:"way,omitempty"`
	// LastSeen is when it was last looked at; zero: never.
	LastSeen time.Time `json:"lastSeen,omitzero"`
	// Since is when it came to be held, or ceased to be, as the last of Events says;
	// nil: before the first report that speaks of it.
	Since  *time.Time `json:"since,omitempty"`
	Events []Event    `json:"events"` // the oldest first
}

// Event is a change of one privilege.
type Event struct {
	What What `json:"what"`          // of reports, see [What]
	Way  *Way `json:"way,omitempty"` // how it is held after it
	Cause
}

// Follow collects what reports say of one principal.
type Follow struct {
	Kind mstrapi.Kind
	Name string // login of a user, name of a group, or an id
	URL  string // of the server; empty: the one that all reports are of

	known   levels
	seen    map[string]bool // digests
	ids     map[mstrapi.ObjectID]bool
	names   map[mstrapi.PrivilegeID]string
	steps   []seenStep
	changes []runChanges
	unknown int
	urls    map[string]bool
	near    []string // names that are there
	chains  []Chain
}

// seenStep is a step, and the groups that lead to each privilege there.
type seenStep struct {
	step
	who planner.Principal
	via map[mstrapi.PrivilegeID][]mstrapi.ObjectRef
}

// runChanges is what one run did to groups.
type runChanges struct {
	run    *Run
	url    string
	groups []change
}

// maxNear bounds how many names are kept to suggest one.
const maxNear = 10_000

// NewFollow begins to follow a principal.
func NewFollow(kind mstrapi.Kind, name, url string) *Follow {
	return &Follow{Kind: kind, Name: name, URL: url, known: make(levels), seen: make(map[string]bool), ids: make(map[mstrapi.ObjectID]bool),
		names: make(map[mstrapi.PrivilegeID]string), urls: make(map[string]bool)}
}

// Met reports whether a report was added that names the principal.
func (f *Follow) Met() bool { return len(f.ids) > 0 }

// forget forgets which reports were added before the principal was met first, so that
// they can be added again: there it may have had another name.
func (f *Follow) forget(digests []string) {
	for _, d := range digests {
		delete(f.seen, d)
	}
	f.changes = slices.DeleteFunc(f.changes, func(c runChanges) bool { return slices.Contains(digests, c.run.Report) })
}

// add adds a report, each once.
func (f *Follow) add(r *executor.Report) {
	if f.seen[r.Digest] || f.URL != "" && r.Environment.URL != f.URL {
		return
	}
	f.seen[r.Digest] = true
	f.known.learn(r)
	for _, p := range r.Privileges {
		f.names[p.ID] = p.Name
	}
	run, groups := runOf(r), changedGroups(r)
	if len(groups) > 0 {
		f.changes = append(f.changes, runChanges{run, r.Environment.URL, groups})
	}
	for i := range r.Principals {
		res := &r.Principals[i]
		if !f.is(res.Principal) {
			continue
		}
		f.ids[res.Principal.ID] = true
		f.urls[r.Environment.URL] = true
		for _, list := range [][]planner.PlannedPrivilege{res.Grant, res.Revoke} {
			for _, p := range list {
				f.names[p.ID] = cmp.Or(f.names[p.ID], p.Name)
			}
		}
		s, ok := stepOf(r, run, groups, res)
		if !ok {
			f.unknown++
			continue
		}
		f.steps = append(f.steps, seenStep{step: s, who: res.Principal, via: viaGroups(r, res)})
	}
}

// is reports whether the principal is the one that is followed.
func (f *Follow) is(p planner.Principal) bool {
	if p.Kind != f.Kind {
		return false
	}
	name := cmp.Or(p.Login, p.Name)
	match := f.ids[p.ID] || strings.EqualFold(string(p.ID), f.Name) ||
		f.Kind == mstrapi.User && strings.EqualFold(p.Login, f.Name) || f.Kind == mstrapi.Group && p.Name == f.Name
	if !match && len(f.near) < maxNear {
		f.near = append(f.near, name)
	}
	return match
}

// viaGroups are the groups that lead to each privilege: those that the server names,
// and those that these have it from.
func viaGroups(r *executor.Report, res *executor.Result) map[mstrapi.PrivilegeID][]mstrapi.ObjectRef {
	if res.After == nil || len(res.After.Sources) == 0 {
		return nil
	}
	var byID map[mstrapi.ObjectID]*executor.Result
	via := make(map[mstrapi.PrivilegeID][]mstrapi.ObjectRef)
	for i := range res.After.Sources {
		s := &res.After.Sources[i]
		list := slices.Clone(s.Groups)
		for k := 0; k < len(list); k++ {
			if byID == nil {
				byID = resultsByID(r)
			}
			above := byID[list[k].ID]
			if above == nil || above.After == nil {
				continue
			}
			for j := range above.After.Sources {
				if from := &above.After.Sources[j]; from.Privilege == s.Privilege {
					for _, g := range from.Groups {
						if !slices.ContainsFunc(list, func(o mstrapi.ObjectRef) bool { return o.ID == g.ID }) {
							list = append(list, g)
						}
					}
				}
			}
		}
		via[s.Privilege] = list
	}
	return via
}

// Errors of [Follow.Since].
var (
	// ErrNotSeen says that no report names the principal.
	ErrNotSeen = errors.New("no report at hand speaks of it")
	// ErrSeveral says that several principals, or servers, have the name.
	ErrSeveral = errors.New("the reports speak of several")
)

// Chains returns the chains that were looked into.
func (f *Follow) Chains() []Chain { return f.chains }

// Near returns the names that reports have, to suggest one from.
func (f *Follow) Near() []string { return f.near }

// PrivilegeNames returns what privileges are called in the reports, by number.
func (f *Follow) PrivilegeNames() map[mstrapi.PrivilegeID]string { return f.names }

// Since says since when the principal holds what. With only nothing but that privilege
// is told of, whether it was ever held or not; 0: all that ever were.
func (f *Follow) Since(tool planner.Tool, only mstrapi.PrivilegeID) (*Since, error) {
	switch {
	case len(f.ids) == 0:
		return nil, ErrNotSeen
	case len(f.ids) > 1:
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(f.ids)) {
			ids = append(ids, string(id))
		}
		return nil, fmt.Errorf("%w %ss called %s, with the ids %s", ErrSeveral, f.Kind, clean.Quote(f.Name), strings.Join(ids, ", "))
	case len(f.urls) > 1:
		return nil, fmt.Errorf("%w servers: %s", ErrSeveral, strings.Join(slices.Sorted(maps.Keys(f.urls)), ", "))
	}
	slices.SortStableFunc(f.steps, func(a, b seenStep) int { return a.run.StartedAt.Compare(b.run.StartedAt) })
	out := &Since{Format: SinceFormat, Tool: tool, Chains: f.chains, Looks: len(f.steps), Unknown: f.unknown, Privileges: []PrivilegeSince{}}
	for url := range f.urls {
		out.Server = url
	}
	if len(f.steps) == 0 {
		return nil, fmt.Errorf("%w but to say that it could not be read (%d times)", ErrNotSeen, f.unknown)
	}
	out.Principal = f.steps[len(f.steps)-1].who
	out.First, out.Last = f.steps[0].readAt.UTC(), f.steps[len(f.steps)-1].endedAt.UTC()
	steps := make([]step, len(f.steps))
	var ever planner.Set
	for i := range f.steps {
		steps[i] = f.steps[i].step
		for _, sets := range []*executor.Sets{steps[i].before, steps[i].after} {
			if sets == nil {
				continue
			}
			ever = ever.Union(sets.Direct).Union(sets.Inherited)
			for j := range sets.Sources {
				ever.Add(sets.Sources[j].Privilege)
			}
		}
	}
	if only != 0 {
		ever = planner.SetOf(only)
	}
	for q := range ever.All() {
		if p, ok := f.privilege(steps, q); ok || only != 0 {
			out.Privileges = append(out.Privileges, p)
		}
	}
	return out, nil
}

// privilege follows one privilege; false if no report speaks of it.
func (f *Follow) privilege(steps []step, q mstrapi.PrivilegeID) (PrivilegeSince, bool) {
	p := PrivilegeSince{PrivilegeRef: planner.PrivilegeRef{ID: q, Name: f.names[q]}, Events: []Event{}}
	seen := looks(steps, q, f.known)
	if len(seen) == 0 {
		return p, false
	}
	from := seen[0]
	for _, to := range seen[1:] {
		before, after := from.way(q), to.way(q)
		if before.byRole() && after == nil && !to.step.audit {
			continue // it does not tell what security roles give
		}
		last := from
		from = to
		what := whatChanged(before, after)
		if what == "" || before == nil && after.byRole() && !last.step.audit {
			continue
		}
		made := cause(last, to, q)
		if made.By == nil && before.isDirect() == after.isDirect() {
			f.throughGroups(&made, last, to, q, what == Gained)
		}
		p.Events = append(p.Events, Event{What: what, Way: after, Cause: made})
		if what == Gained || what == Lost {
			p.Since = made.Until
			if made.By != nil {
				p.Since = moment(made.By.StartedAt)
			}
		}
	}
	p.Way = from.way(q)
	p.Held, p.LastSeen = p.Way != nil, from.at.UTC()
	return p, true
}

// throughGroups looks for runs between two looks that granted the privilege to a group,
// or revoked it from one, that leads to it.
func (f *Follow) throughGroups(made *Cause, from, to look, q mstrapi.PrivilegeID, gained bool) {
	at := to
	if !gained {
		at = from
	}
	var via []mstrapi.ObjectRef
	for k := range f.steps {
		if f.steps[k].run.Report == at.step.run.Report {
			via = f.steps[k].via[q]
		}
	}
	for _, c := range f.changes {
		if !c.run.FinishedAt.After(from.at) || c.run.StartedAt.After(to.at) {
			continue
		}
		for k := range c.groups {
			g := &c.groups[k]
			did := g.revoked
			if gained {
				did = g.granted
			}
			if did.Has(q) && slices.ContainsFunc(via, func(v mstrapi.ObjectRef) bool { return v.ID == g.group.ID }) {
				if made.By == nil || made.By.Report == c.run.Report {
					made.By, made.Ticket, made.Through, made.OutOfBand = c.run, cmp.Or(made.Ticket, g.ticket(q)), append(made.Through, g.group), false
				}
			}
		}
	}
}

// byRole reports whether nothing but security roles, or sources of another kind, give it:
// only audits tell that.
func (w *Way) byRole() bool { return w != nil && !w.Direct && !w.Inherited }

func (w *Way) isDirect() bool { return w != nil && w.Direct }

// way returns how the privilege was held then.
func (l *look) way(q mstrapi.PrivilegeID) *Way {
	if l.end {
		return wayOf(l.step.after, q)
	}
	return wayOf(l.step.before, q)
}

// Read reads the chains. Where the principal is met for the first time late, what comes
// before is read again: it may have had another name there.
func (f *Follow) Read(ctx context.Context, sources []Source) error {
	for again := range 2 {
		var before []string
		for _, s := range sources {
			chain, err := s.read(ctx, func(report *executor.Report) {
				f.add(report)
				if !f.Met() {
					before = append(before, report.Digest)
				}
			})
			if err != nil {
				return err
			}
			if again == 0 {
				f.chains = append(f.chains, chain)
			}
		}
		if !f.Met() || len(before) == 0 {
			return nil
		}
		f.forget(before)
	}
	return nil
}
