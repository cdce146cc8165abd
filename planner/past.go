package planner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Past is what the reports of earlier runs say that these did on the same
// server. It is evidence for what a person is told and decides about nothing:
// whoever can write the reports can change findings with it, and no change. The
// zero value knows of no run.
type Past struct {
	// Last is the last run of the very same policy, and Came and Went are the
	// direct grants that were there after it and not before, and the other way
	// round, whoever made them.
	Last       PastRun
	Came, Went map[mstrapi.ObjectID]Set
	// Granting is the last run of a policy of the same name that granted
	// something, and Granted what.
	Granting PastRun
	Granted  []PastGrant
}

// PastRun names a run.
type PastRun struct {
	ID      string
	Started time.Time
}

// PastGrant is what a run granted to one principal, which is named as it was.
type PastGrant struct {
	Principal  Principal
	Privileges Set
}

func (r PastRun) String() string {
	return fmt.Sprintf("run %s of %s", r.ID, r.Started.UTC().Format(time.RFC3339))
}

// maxPastReads bounds how many principals are read only because an earlier run
// granted them something.
const maxPastReads = 500

// readPast reads what those hold directly whom the past run granted something and
// nobody asks for any more: one request each. Nothing depends on it, so what
// cannot be read is passed over.
func (ob *observer) readPast(ctx context.Context) error {
	st := ob.st
	var open []*PastGrant
	for i := range st.past.Granted {
		g := &st.past.Granted[i]
		if st.byID[g.Principal.ID] != nil || !g.Principal.plausible() {
			continue
		}
		if len(open) == maxPastReads {
			st.pastLeft++
			continue
		}
		open = append(open, g)
	}
	held := make([]Set, len(open))
	err := ob.work(ctx, len(open), func(ctx context.Context, i int) error {
		who := open[i].Principal
		seen, err := ob.look(ctx, who.Kind, who.ID)
		if err != nil {
			if isFatal(ctx, err) {
				return err
			}
			ob.log.DebugContext(ctx, "whether an earlier grant is still there is not known", "principal", who.ID, "error", err)
			return nil
		}
		held[i] = seen.Direct.Intersect(open[i].Privileges)
		return nil
	})
	for i, g := range open {
		if !held[i].IsEmpty() {
			st.pastHeld = append(st.pastHeld, PastGrant{g.Principal, held[i]})
		}
	}
	return err
}

// plausible reports whether p could be a principal of a server.
func (p *Principal) plausible() bool {
	return p.ID != "" && (p.Kind == mstrapi.User || p.Kind == mstrapi.Group)
}

// oscillations tells which changes take back what the last run of the same policy
// left, or bring back what it took: a policy and a server that agree come to rest.
// What is revoked because its last day is over is what the policy says.
func (d *draft) oscillations() []Finding {
	var out []Finding
	for i := range d.changes {
		c := &d.changes[i]
		var back, again Set
		for _, p := range c.Revoke {
			if p.Reason != ReasonExpired && d.st.past.Came[c.Principal.ID].Has(p.ID) {
				back.Add(p.ID)
			}
		}
		for _, p := range c.Grant {
			if d.st.past.Went[c.Principal.ID].Has(p.ID) {
				again.Add(p.ID)
			}
		}
		for _, turn := range []struct {
			privileges Set
			text       string
		}{
			{back, "takes back %s from %s, which came with"},
			{again, "gives back %s to %s, which went with"},
		} {
			if turn.privileges.IsEmpty() {
				continue
			}
			f := finding(CodeOscillation, SeverityError,
				"the plan "+turn.text+" the last run of the same policy (%s): the server, or somebody else, undoes what the policy wants; declare what belongs together under prerequisites, or make the two agree",
				d.c.cat.some(turn.privileges), c.Principal.Label(), d.st.past.Last).about(c.Principal)
			if o := d.st.byID[c.Principal.ID]; o != nil && o.Covered {
				f.Position = d.c.entryPosition(d.c.wantFor(o))
			}
			f.Privilege = d.c.cat.only(turn.privileges)
			out = append(out, f)
		}
	}
	return out
}

// noLongerListed tells what an earlier run granted, is still held directly, and
// nothing lists any more, where the policy does not take it away by itself.
func (d *draft) noLongerListed() []Finding {
	if len(d.st.past.Granted) == 0 || len(d.st.failed)+len(d.st.unresolved) > 0 {
		return nil
	}
	revoked := make(map[mstrapi.ObjectID]Set, len(d.changes))
	for i := range d.changes {
		revoked[d.changes[i].Principal.ID] = d.changes[i].revoked()
	}
	var out []Finding
	tell := func(who Principal, left Set) {
		if left = left.Minus(revoked[who.ID]); left.IsEmpty() {
			return
		}
		f := finding(CodeNoLongerListed, SeverityWarning,
			"%s still holds %s directly, which %s granted and no entry lists any more: forbid it for a while, revoke it by hand, or list it again",
			who.Label(), d.c.cat.some(left), d.st.past.Granting).about(who)
		f.Privilege = d.c.cat.only(left)
		out = append(out, f)
	}
	for _, g := range d.st.past.Granted {
		o := d.st.byID[g.Principal.ID]
		switch {
		case o == nil || o.gone || o.Err != nil:
		case o.Covered:
			if w := d.c.wantFor(o); w.settings.Mode != policy.Authoritative {
				tell(o.Principal, g.Privileges.Intersect(o.Direct).Minus(w.listed).Minus(w.undecided))
			}
		case !d.st.absent && o.held != nil:
			tell(o.Principal, g.Privileges.Intersect(o.Direct))
		}
	}
	if d.st.absent {
		return out // somebody may go by another name now, and be listed by the old one
	}
	for _, g := range d.st.pastHeld {
		tell(g.Principal, g.Privileges)
	}
	if n := d.st.pastLeft; n > 0 {
		out = append(out, finding(CodeNoLongerListed, SeverityWarning, "%s granted something to %s more that no entry covers any more; they were not looked at",
			d.st.past.Granting, clean.Count(n, "principal")))
	}
	return out
}

// sorted returns p with its grants in the order of their principals, each once.
func (p Past) sorted() Past {
	p.Granted = slices.Clone(p.Granted)
	slices.SortStableFunc(p.Granted, func(a, b PastGrant) int { return cmp.Compare(a.Principal.ID, b.Principal.ID) })
	once := p.Granted[:0]
	for _, g := range p.Granted {
		if n := len(once); n > 0 && once[n-1].Principal.ID == g.Principal.ID {
			once[n-1].Privileges = once[n-1].Privileges.Union(g.Privileges)
			continue
		}
		once = append(once, g)
	}
	p.Granted = once
	return p
}
