package planner

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/mstrapi"
)

// Identity is what the server says of a principal that a document names.
type Identity struct {
	Principal Principal // the server's names; the document's where Err is set
	Mismatch  bool      // the document names it otherwise
	Err       error     // it could not be read
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

func named(p Principal) string {
	if p.Login == "" {
		return clean.Quote(p.Name)
	}
	return fmt.Sprintf("%s (%s)", clean.Quote(p.Name), clean.Quote(p.Login))
}

// Identify reads the names of principals, up to concurrency at once, and compares
// them with those that a document gives: names exactly, logins without regard to
// case. A principal that is not there any more has an error that
// [mstrapi.IsNotFound] recognises. The error says that ctx was done.
func Identify(ctx context.Context, r Reader, principals []Principal, concurrency int) (map[mstrapi.ObjectID]*Identity, error) {
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
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			row, err := r.Principal(ctx, p.Kind, p.ID)
			id := &Identity{Principal: p, Err: err}
			if err == nil {
				id.Principal = Principal{Kind: p.Kind, ID: p.ID, Name: row.Name, Login: p.Login}
				if p.Kind == mstrapi.User && row.Login != "" {
					id.Principal.Login = row.Login
				}
				id.Mismatch = row.Name != p.Name || p.Login != "" && !strings.EqualFold(id.Principal.Login, p.Login) || p.Kind == mstrapi.Group && p.Login != ""
				if p.Kind == mstrapi.Group {
					id.Principal.Login = ""
				}
			}
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
	for i := range p.Findings {
		// A rule or a policy may name what the catalogue does not have; that is what such a finding says.
		if q := p.Findings[i].Privilege; q != nil && q.ID != 0 && p.Findings[i].Code != CodeUnknownPrivilege {
			out = append(out, *q)
		}
	}
	return out
}

// Named returns the plan with the server's names in place of its own, and a
// finding for each principal that it names otherwise. Findings of the plan about
// such a principal are left out. The plan does not change, and the digest of the
// result is still that of the plan.
func (p *Plan) Named(ids map[mstrapi.ObjectID]*Identity) (*Plan, []Finding) {
	named := *p
	named.Changes, named.Findings = append([]Change(nil), p.Changes...), []Finding{}
	var mismatches []Finding
	told := make(map[mstrapi.ObjectID]bool)
	tell := func(claimed Principal) (*Identity, bool) {
		id := ids[claimed.ID]
		if id == nil || id.Err != nil {
			return nil, false
		}
		if id.Mismatch && !told[claimed.ID] {
			told[claimed.ID] = true
			mismatches = append(mismatches, id.Finding(claimed))
		}
		return id, true
	}
	for i := range named.Changes {
		if id, ok := tell(named.Changes[i].Principal); ok {
			named.Changes[i].Principal = id.Principal
		}
	}
	for _, f := range p.Findings {
		if f.Principal != nil && f.Principal.ID != "" {
			id, ok := tell(*f.Principal)
			if ok && id.Mismatch {
				continue
			}
			if ok {
				who := id.Principal
				f.Principal = &who
			}
		}
		named.Findings = append(named.Findings, f)
	}
	return &named, mismatches
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
