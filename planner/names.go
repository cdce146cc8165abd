package planner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/policy"
)

// Identity is what the server says of a principal that a document names.
type Identity struct {
	Principal Principal // the server's names; the document's where Err is set
	Mismatch  bool      // the document names it otherwise
	Err       error     // it could not be read
	Gone      bool      // the reason of Err: it does not exist, see [IsGone]
}

// Finding returns the finding of a mismatch with the document's names for it.
func (i *Identity) Finding(claimed Principal) Finding {
	who := i.Principal
	return Finding{
		Code: CodeNameMismatch, Severity: SeverityError, Principal: &who,
		Message: fmt.Sprintf("the document names %s %s, and on the server the id %s is %s: it is left alone; it was renamed, or the document was changed by somebody",
			who.Kind, named(claimed), clean.Text(string(who.ID)), named(who)),
	}
}

// names reports whether the server names the principal as a document does: names
// exactly, logins, as far as both tell them, without regard to case.
func (i *Identity) names(claimed Principal) bool {
	is := i.Principal
	untold := claimed.Login == "" || is.Kind == mstrapi.User && is.Login == ""
	return claimed.Kind == is.Kind && claimed.Name == is.Name && (untold || strings.EqualFold(claimed.Login, is.Login))
}

func named(p Principal) string {
	if p.Login == "" {
		return clean.Quote(p.Name)
	}
	return fmt.Sprintf("%s (%s)", clean.Quote(p.Name), clean.Quote(p.Login))
}

// Identify reads the names of principals, up to concurrency at once, and compares
// them with those that a document gives. self is the session's user, as [IsGone]
// takes it. The error says that ctx was done.
func Identify(ctx context.Context, r ObjectReader, self mstrapi.ObjectID, principals []Principal, concurrency int) (map[mstrapi.ObjectID]*Identity, error) {
	out := make(map[mstrapi.ObjectID]*Identity, len(principals))
	var mu sync.Mutex // guards out
	var g errgroup.Group
	g.SetLimit(max(concurrency, 1))
	for _, p := range principals {
		mu.Lock()
		known := out[p.ID] != nil
		out[p.ID] = &Identity{Principal: p}
		mu.Unlock()
		if known {
			continue
		}
		panics.Go(&g, func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			id := IdentifyOne(ctx, r, self, p)
			mu.Lock()
			out[p.ID] = id
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// IdentifyOne is [Identify] for one principal.
func IdentifyOne(ctx context.Context, r ObjectReader, self mstrapi.ObjectID, p Principal) *Identity {
	row, err := r.Principal(ctx, p.Kind, p.ID)
	if mstrapi.IsNotFound(err) {
		gone, unknown := IsGone(ctx, r, self, p.Kind, p.ID, err)
		switch {
		case gone:
			return &Identity{Principal: p, Err: err, Gone: true}
		case unknown != nil:
			err = unknown
		default: // it is there after all
			row, err = r.Principal(ctx, p.Kind, p.ID)
		}
	}
	if err != nil {
		return &Identity{Principal: p, Err: err}
	}
	id := &Identity{Principal: Principal{Kind: p.Kind, ID: p.ID, Name: row.Name}}
	if p.Kind == mstrapi.User {
		id.Principal.Login = row.Login
	}
	id.Mismatch = !id.names(p)
	return id
}

// Unnamed is a principal of which only the id is known: its name is the id.
func Unnamed(p Principal) Principal {
	return Principal{Kind: p.Kind, ID: p.ID, Name: string(p.ID)}
}

// CheckPrivileges returns an error that matches [ErrPlanRefused] unless each number
// of refs has the name in the server's catalogue that the document gives it. A
// number that the catalogue does not have must have no name.
func CheckPrivileges(list []mstrapi.Privilege, refs []PrivilegeRef) error {
	names := make(map[mstrapi.PrivilegeID]string, len(list))
	for _, p := range list {
		names[p.ID] = p.Name
	}
	for _, ref := range refs {
		if is := names[ref.ID]; is != ref.Name {
			return refusef("it calls privilege %d %s, and on the server that is %s: it was changed by somebody, or the server's catalogue was", ref.ID, clean.Quote(ref.Name), clean.Quote(is))
		}
	}
	return nil
}

// Privileges returns every privilege that the plan names.
func (p *Plan) Privileges() []PrivilegeRef {
	out := append([]PrivilegeRef(nil), p.Safety.ActorLoses...)
	if a := p.Safety.Approval; a != nil && a.Above != nil {
		out = append(out, a.Above.GrantsOf...)
	}
	for i := range p.Changes {
		for _, list := range [][]PlannedPrivilege{p.Changes[i].Grant, p.Changes[i].Revoke} {
			for _, q := range list {
				out = append(out, q.PrivilegeRef)
			}
		}
	}
	for i := range p.Prerequisites {
		out = append(append(out, p.Prerequisites[i].Privilege), p.Prerequisites[i].Needs...)
	}
	for i := range p.Watch {
		for _, a := range p.Watch[i].Awaits {
			out = append(out, a.Privilege)
		}
	}
	for i := range p.Findings {
		// A rule or a policy may name what the catalogue does not have; that is what such a finding says.
		if q := p.Findings[i].Privilege; q != nil && q.ID != 0 && p.Findings[i].Code != CodeUnknownPrivilege {
			out = append(out, *q)
		}
	}
	return out
}

// Named returns the plan with the server's names in place of its own, and a
// finding for each principal that it names otherwise. Whom the server does not name
// is called by the id. Findings of the plan about somebody whom it names otherwise
// are left out. The plan does not change, and the digest of the result is still that
// of the plan.
func (p *Plan) Named(ids map[mstrapi.ObjectID]*Identity) (*Plan, []Finding) {
	named := *p
	named.Changes, named.Findings = append([]Change(nil), p.Changes...), []Finding{}
	var mismatches []Finding
	told := make(map[mstrapi.ObjectID]bool)
	name := func(claimed Principal) (who Principal, mismatch bool) {
		id := ids[claimed.ID]
		if id == nil || id.Err != nil {
			return Unnamed(claimed), false
		}
		if mismatch = !id.names(claimed); mismatch && !told[claimed.ID] {
			told[claimed.ID] = true
			mismatches = append(mismatches, id.Finding(claimed))
		}
		return id.Principal, mismatch
	}
	for i := range named.Changes {
		named.Changes[i].Principal, _ = name(named.Changes[i].Principal)
	}
	for _, f := range p.Findings {
		if f.Principal != nil && f.Principal.ID != "" {
			who, mismatch := name(*f.Principal)
			if mismatch {
				continue
			}
			f.Principal = &who
		}
		named.Findings = append(named.Findings, f)
	}
	return &named, mismatches
}

// WithoutClaims returns the plan, which [Plan.Named] named and which was read from
// file, without what only its own text says and no reading of this run confirms: the
// words of its findings, of which no more is left than that they are there, and what
// rules and coverage came to. What is left may become evidence.
func (p *Plan) WithoutClaims(file string) *Plan {
	bare := *p
	bare.Rules, bare.Coverage, bare.Findings = nil, Coverage{}, make([]Finding, len(p.Findings))
	for i, f := range p.Findings {
		f.Message = "the saved plan has a finding of this code; nobody checked it in this run, so its words stand in the plan only"
		f.Sources = nil
		if f.Principal != nil && f.Principal.ID == "" {
			f.Principal = nil // nobody of the server
		}
		if f.Privilege != nil && (f.Privilege.ID == 0 || f.Code == CodeUnknownPrivilege) {
			f.Privilege = nil // none of the server's
		}
		if f.Position != nil {
			f.Position = &policy.Position{File: file}
		}
		bare.Findings[i] = f
	}
	return &bare
}

// JudgedBy returns the plan, which [Plan.Named] named, with what fresh, which the
// policy at hand comes to now, says in place of all that the plan says beside its
// changes and commands: policy, server, limits, rules, findings, and what is wanted of
// everybody.
func (p *Plan) JudgedBy(fresh *Plan) *Plan {
	judged := *fresh
	judged.CreatedAt, judged.ExpiresAt, judged.Digest = p.CreatedAt, p.ExpiresAt, p.Digest
	judged.Actor, judged.Maker, judged.Scope, judged.Commands, judged.Summary = p.Actor, p.Maker, p.Scope, p.Commands, p.Summary
	judged.Summary.Findings, judged.Summary.Unknown = fresh.Summary.Findings, fresh.Summary.Unknown
	judged.Complete = p.Complete && fresh.Complete
	wanted := make(map[mstrapi.ObjectID]*Wanted, len(fresh.Changes))
	for i := range fresh.Changes {
		wanted[fresh.Changes[i].Principal.ID] = fresh.Changes[i].Wanted
	}
	judged.Changes = slices.Clone(p.Changes)
	judged.Licences = fresh.Licences.plannedBy(judged.Changes)
	changed := make(map[mstrapi.ObjectID]bool, len(p.Changes))
	for i := range judged.Changes {
		c := &judged.Changes[i]
		changed[c.Principal.ID] = true
		if c.Wanted = wanted[c.Principal.ID]; c.Wanted == nil {
			c.Wanted = fresh.Unchanged(c.Principal.ID)
		}
	}
	judged.Watch = nil
	for _, w := range fresh.Watch {
		w.Principals = slices.DeleteFunc(slices.Clone(w.Principals), func(who Principal) bool { return changed[who.ID] })
		if len(w.Principals) > 0 {
			judged.Watch = append(judged.Watch, w)
		}
	}
	return &judged
}

// Principals returns every principal that the plan changes or has a finding about.
func (p *Plan) Principals() []Principal {
	var out []Principal
	seen := make(map[mstrapi.ObjectID]bool)
	for i := range p.Changes {
		out = append(out, p.Changes[i].Principal)
		seen[p.Changes[i].Principal.ID] = true
	}
	for i := range p.Findings {
		if who := p.Findings[i].Principal; who != nil && who.ID.Valid() && !seen[who.ID] {
			seen[who.ID] = true
			out = append(out, *who)
		}
	}
	return out
}
