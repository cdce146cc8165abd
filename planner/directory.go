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

// principalKey is a principal as a policy names it: by id, or by folded login (users)
// or exact name (groups).
type principalKey struct {
	kind mstrapi.Kind
	id   mstrapi.ObjectID
	name string
}

func keyOfRef(ref policy.PrincipalRef) principalKey {
	kind := mstrapi.Kind(ref.Kind)
	if ref.ID != "" {
		return principalKey{kind: kind, id: mstrapi.ObjectID(strings.ToUpper(ref.ID))}
	}
	if kind == mstrapi.User {
		return principalKey{kind: kind, name: policy.FoldLogin(ref.Name)}
	}
	return principalKey{kind: kind, name: ref.Name}
}

// lookup is what the server has for a principalKey.
type lookup struct {
	key  principalKey
	text string // as the policy writes it
	rows []mstrapi.PrincipalRow
	near []mstrapi.PrincipalRow // where nobody is called so: some whose names begin alike
	err  error
}

// directory is what the server has for the names in a policy, of users or of groups.
type directory struct {
	*reading
	kind   mstrapi.Kind
	list   []*lookup
	byID   map[mstrapi.ObjectID]*lookup
	byName map[string]*lookup
	all    []mstrapi.PrincipalRow // the server's whole list, if it was read
	err    error                  // of the whole list, if that is needed
}

// find returns the lookup of ref, or nil.
func (d *directory) find(ref policy.PrincipalRef) *lookup {
	key := keyOfRef(ref)
	if key.id != "" {
		return d.byID[key.id]
	}
	return d.byName[key.name]
}

// add adds the lookup of ref unless there is one.
func (d *directory) add(ref policy.PrincipalRef) {
	if d.find(ref) != nil {
		return
	}
	l := &lookup{key: keyOfRef(ref), text: ref.Name}
	d.list = append(d.list, l)
	if l.key.id != "" {
		d.byID[l.key.id] = l
	} else {
		d.byName[l.key.name] = l
	}
}

// resolve finds the names and ids with as few requests as possible: one for each, or
// the pages of the whole list where these are fewer or everybody is needed anyway.
func (d *directory) resolve(ctx context.Context, everybody bool) error {
	if len(d.list) < 2 && !everybody {
		return d.lookUpEach(ctx, d.list)
	}
	whole := d.r.List(d.kind, mstrapi.Query{})
	first, err := whole.First(ctx)
	if err == nil && first.Total >= 0 {
		d.noteTotal(d.kind, first.Total)
	}
	if err == nil && (everybody || first.Pages() <= len(d.list)) {
		d.all, err = whole.All(ctx)
	}
	if err != nil {
		if isFatal(ctx, err) {
			return err
		}
		d.all = nil
		if everybody {
			d.err = err
		}
	}
	if d.all == nil {
		return d.lookUpEach(ctx, d.list)
	}
	d.noteTotal(d.kind, len(d.all))
	return d.matchAll(ctx)
}

// matchAll finds the names in the whole list, whose rows must then stay where
// they are until everybody is placed.
func (d *directory) matchAll(ctx context.Context) error {
	blind := false // a row without a login could be anybody
	for i := range d.all {
		row := &d.all[i]
		match := func(l *lookup) {
			if l != nil && len(l.rows) == 0 {
				l.rows = d.all[i : i+1 : i+1]
			} else if l != nil {
				l.rows = append(l.rows, *row)
			}
		}
		if len(d.byID) > 0 {
			match(d.byID[row.ID])
		}
		name := row.Name
		if row.Kind == mstrapi.User {
			blind = blind || row.Login == ""
			name = policy.FoldLogin(row.Login)
		}
		if name != "" {
			match(d.byName[name])
		}
	}
	if blind {
		var open []*lookup
		for _, l := range d.list {
			// A pin's row without a login cannot be compared with the name beside it.
			if l.key.id == "" && len(l.rows) == 0 || l.key.id != "" && len(l.rows) > 0 {
				open = append(open, l)
			}
		}
		return d.lookUpEach(ctx, open)
	}
	d.progress.add(len(d.list))
	return nil
}

// lookUpEach asks for each of the list by itself.
func (d *directory) lookUpEach(ctx context.Context, list []*lookup) error {
	err := d.each(ctx, len(list), func(ctx context.Context, i int) error {
		defer d.progress.add(1)
		l := list[i]
		rows, err := d.lookUp(ctx, l.key, l.text)
		if err != nil && isFatal(ctx, err) {
			return err
		}
		l.rows, l.err = rows, err
		return nil
	})
	if err != nil {
		return err
	}
	return d.readNear(ctx, list)
}

func (d *directory) lookUp(ctx context.Context, key principalKey, text string) ([]mstrapi.PrincipalRow, error) {
	if key.id != "" {
		row, err := d.r.Principal(ctx, key.kind, key.id)
		if err != nil {
			missing, fatal := d.isGone(ctx, key.kind, key.id, err)
			if missing {
				return nil, nil
			}
			return nil, cmp.Or(fatal, err)
		}
		row.Kind = key.kind
		return []mstrapi.PrincipalRow{row}, nil
	}
	list, err := d.beginning(text).All(ctx)
	if err != nil {
		return nil, err
	}
	var rows []mstrapi.PrincipalRow
	for _, row := range list {
		if key.kind == mstrapi.Group {
			if row.Name == key.name {
				rows = append(rows, row)
			}
			continue
		}
		if row.Login == "" {
			full, err := d.r.Principal(ctx, key.kind, row.ID)
			if err != nil {
				gone, fatal := d.isGone(ctx, key.kind, row.ID, err)
				if gone {
					d.noteGone(principalOf(row))
					continue
				}
				return rows, cmp.Or(fatal, err)
			}
			row = full
		}
		if policy.FoldLogin(row.Login) == key.name {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// beginning is the list of those whose login (users) or name (groups) begins with text.
func (d *directory) beginning(text string) *mstrapi.Listing {
	if d.kind == mstrapi.User {
		return d.r.List(d.kind, mstrapi.Query{LoginBegins: text})
	}
	return d.r.List(d.kind, mstrapi.Query{NameBegins: text})
}

// one returns the row that ref names, or the finding that says why there is
// none.
func (d *directory) one(ref policy.PrincipalRef) (mstrapi.PrincipalRow, *Finding) {
	l := d.find(ref)
	if l.err == nil && len(l.rows) == 1 {
		return l.rows[0], nil
	}
	key := l.key
	who := Principal{Kind: key.kind, ID: key.id, Name: ref.Name}
	if key.kind == mstrapi.User {
		who.Login = ref.Name
	}
	f := &Finding{Severity: SeverityError, Principal: &who, Position: position(ref.Pos)}
	if l.err != nil {
		f.Code = CodeReadFailed
		f.Message = fmt.Sprintf("%s could not be looked up: %v", describeRef(ref), l.err)
		return mstrapi.PrincipalRow{}, f
	}
	if len(l.rows) == 0 {
		f.Code = CodeUnknownPrincipal
		f.Message = fmt.Sprintf("the server has no %s", describeRef(ref))
		if ref.ID == "" && key.kind == mstrapi.User && d.onlyEveryone() {
			f.Message = fmt.Sprintf("the server gives no list of its users, and %s is not among the members of the group Everyone: if it is a guest or a service account add its id", describeRef(ref))
		}
		if near := d.suggest(l, ref.Name); near != "" {
			f.Message += fmt.Sprintf("; did you mean %s?", clean.Quote(near))
			if how := policy.Difference(ref.Name, near); how != "" {
				f.Message += " " + how
			}
		}
		return mstrapi.PrincipalRow{}, f
	}
	ids := make([]string, len(l.rows))
	for i, row := range l.rows {
		ids[i] = string(row.ID)
		if row.Tenant != "" {
			ids[i] += fmt.Sprintf(" (tenant %s)", clean.Quote(row.Tenant))
		}
	}
	slices.Sort(ids)
	f.Code = CodeAmbiguousPrincipal
	f.Message = fmt.Sprintf("the server has %d principals that are %s; add the id of the one that is meant: %s",
		len(l.rows), describeRef(ref), strings.Join(firstOf(ids), ", "))
	return mstrapi.PrincipalRow{}, f
}

func describeRef(ref policy.PrincipalRef) string {
	if ref.ID != "" {
		return fmt.Sprintf("%s with the id %s", ref.Kind, strings.ToUpper(ref.ID))
	}
	return fmt.Sprintf("%s %s", ref.Kind, clean.Quote(ref.Name))
}

// suggest returns a name that the server has and that is nearly the one that it
// has not: among all names where these were read anyway, otherwise among those that
// begin alike.
func (d *directory) suggest(l *lookup, name string) string {
	if l.key.id != "" {
		return ""
	}
	rows := d.all
	if rows == nil {
		rows = l.near
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		if d.kind == mstrapi.User {
			names = append(names, row.Login)
		} else {
			names = append(names, row.Name)
		}
	}
	return cmp.Or(policy.LookAlike(name, names), policy.Suggest(name, names))
}

// maxNear bounds how many names that nobody has are compared with the first page of
// those that begin alike.
const maxNear = 10

// readNear reads, for the names in list that nobody has, the names that begin alike.
// What cannot be read suggests nothing.
func (d *directory) readNear(ctx context.Context, list []*lookup) error {
	var unknown []*lookup
	for _, l := range list {
		if l.err == nil && len(l.rows) == 0 && l.key.id == "" && l.text != "" && len(unknown) < maxNear {
			unknown = append(unknown, l)
		}
	}
	return d.each(ctx, len(unknown), func(ctx context.Context, i int) error {
		l := unknown[i]
		first := string([]rune(strings.TrimSpace(l.text) + " ")[:1])
		page, err := d.beginning(first).First(ctx)
		if err != nil {
			if isFatal(ctx, err) {
				return err
			}
			return nil
		}
		l.near = page.Rows
		return nil
	})
}
