package planner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Find returns the one user with the login, or the one group with the name, as a policy
// that gives no id finds it; where nobody has the name and it is an id, who has that.
// An error that matches [*NotOne] says that there is none, or that there are several;
// any other, that the server could not be asked.
func Find(ctx context.Context, r Reader, kind mstrapi.Kind, name string) (mstrapi.PrincipalRow, error) {
	d := &directory{reading: newReading(ctx, r, 1), kind: kind}
	ref := policy.PrincipalRef{Kind: policy.Kind(kind), Name: name}
	l := &lookup{key: keyOfRef(ref), text: name}
	err := d.lookUp(ctx, l)
	if id := mstrapi.ObjectID(strings.ToUpper(name)); err == nil && len(l.rows) == 0 && id.Valid() {
		pinned := &lookup{key: principalKey{kind: kind, id: id}}
		err = d.lookUp(ctx, pinned)
		l.rows = pinned.rows
	}
	switch {
	case err != nil:
	case len(l.rows) == 1:
		return l.rows[0], nil
	case len(l.rows) > 1:
		var rows []*mstrapi.PrincipalRow
		for i := range l.rows {
			rows = append(rows, &l.rows[i])
		}
		err = d.readTenants(ctx, rows, maxTenants)
	default:
		if kind == mstrapi.User { // who gives a person's name means a login; unread it suggests nothing
			named, _ := d.r.List(kind, mstrapi.Query{NameBegins: name}).All(ctx)
			l.near = append(l.near, named...)
		}
		err = d.readNear(ctx, []*lookup{l})
	}
	if err == nil {
		err = d.notOne(l, ref)
	}
	return mstrapi.PrincipalRow{}, err
}

// NotOne is the error that the server has nobody, or several, of a name or an id.
type NotOne struct {
	what string
	// IDs names those whom the server has, if they are several, by their ids and tenants.
	IDs string
	// Meant asks, where there is nobody, whether a name that is near is meant, and says
	// how it differs from the one that was given; empty: none is near.
	Meant string
	// OnlyEveryone says that there is nobody among the members of the group Everyone,
	// and that the server lists no other users.
	OnlyEveryone bool
}

func (e *NotOne) Error() string { return e.what }

// notOne says why what l found is not one principal.
func (d *directory) notOne(l *lookup, ref policy.PrincipalRef) *NotOne {
	if n := len(l.rows); n > 0 {
		ids := make([]string, n)
		for i, row := range l.rows {
			ids[i] = string(row.ID)
			if row.Tenant != "" {
				ids[i] += fmt.Sprintf(" (tenant %s)", clean.Quote(row.Tenant))
			}
		}
		slices.Sort(ids)
		which := "called " + clean.Quote(ref.Name)
		if ref.ID != "" {
			which = "with the id " + strings.ToUpper(ref.ID)
		}
		return &NotOne{what: fmt.Sprintf("the server has %d %ss %s", n, ref.Kind, which), IDs: strings.Join(firstOf(ids), ", ")}
	}
	e := &NotOne{what: "the server has no " + describeRef(ref)}
	if ref.ID != "" {
		return e
	}
	if d.kind == mstrapi.User && d.onlyEveryone() {
		e.OnlyEveryone = true
		e.what = fmt.Sprintf("the server gives no list of its users, and %s is not among the members of the group Everyone", describeRef(ref))
	}
	if near := nearest(ref, l.near, d.all); near != "" {
		e.Meant = strings.TrimSpace(fmt.Sprintf("did you mean %s? %s", clean.Quote(near), policy.Difference(ref.Name, near)))
	}
	return e
}

func describeRef(ref policy.PrincipalRef) string {
	if ref.ID != "" {
		return fmt.Sprintf("%s with the id %s", ref.Kind, strings.ToUpper(ref.ID))
	}
	return fmt.Sprintf("%s %s", ref.Kind, clean.Quote(ref.Name))
}

// nearest returns the login or name that ref, whose name nobody has, most probably
// means, or "": that of the one user whose own name it is, otherwise one that looks the
// same or is nearly the same.
func nearest(ref policy.PrincipalRef, lists ...[]mstrapi.PrincipalRow) string {
	var names []string
	login, owners := "", 0
	for _, rows := range lists {
		names = slices.Grow(names, len(rows))
		for _, row := range rows {
			if ref.Kind == policy.Group {
				names = append(names, row.Name)
				continue
			}
			names = append(names, row.Login)
			if row.Login != "" && row.Login != login && strings.EqualFold(row.Name, ref.Name) {
				login = row.Login
				owners++
			}
		}
	}
	if owners == 1 {
		return login
	}
	return cmp.Or(policy.LookAlike(ref.Name, names), policy.Suggest(ref.Name, names))
}
