package planner

import (
	"context"
	"fmt"
	"strings"

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
	near []mstrapi.PrincipalRow // where nobody is meant: some whose names begin alike
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
	var open []*lookup
	for _, l := range d.list {
		// A list may lack somebody who is there, and that of Everyone's members is what
		// a search would read again. A pin's row without a login cannot be compared
		// with the name beside it.
		if pin := l.key.id != ""; len(l.rows) == 0 && (pin || blind || !d.onlyEveryone()) || blind && pin {
			open = append(open, l)
		}
	}
	d.progress.add(len(d.list) - len(open))
	return d.lookUpEach(ctx, open)
}

// lookUpEach asks for each of the list by itself.
func (d *directory) lookUpEach(ctx context.Context, list []*lookup) error {
	err := d.each(ctx, len(list), func(ctx context.Context, i int) error {
		defer d.progress.add(1)
		l := list[i]
		if l.err = d.lookUp(ctx, l); l.err != nil && isFatal(ctx, l.err) {
			return l.err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.readNear(ctx, list)
}

// lookUp asks for whom l means, and keeps of the others who come with them those who
// may be near.
func (d *directory) lookUp(ctx context.Context, l *lookup) error {
	l.rows = nil
	if l.key.id != "" {
		row, gone, err := d.readRow(ctx, d.kind, l.key.id)
		if err == nil && !gone {
			l.rows = []mstrapi.PrincipalRow{row}
		}
		return err
	}
	list, err := d.beginning(l.text).All(ctx)
	if err != nil {
		return err
	}
	hidden := ""
	for _, row := range list {
		name := row.Name
		if d.kind == mstrapi.User {
			if row.Login == "" {
				full, gone, err := d.readRow(ctx, d.kind, row.ID)
				if err != nil {
					return err
				}
				if gone {
					d.noteGone(principalOf(row))
					continue
				}
				row = full
			}
			if row.Login == "" {
				hidden = principalOf(row).Label()
			}
			name = policy.FoldLogin(row.Login)
		}
		if name == l.key.name {
			l.rows = append(l.rows, row)
		} else if len(l.near) < maxBegun {
			l.near = append(l.near, row)
		}
	}
	if len(l.rows) == 0 && hidden != "" {
		return fmt.Errorf("the server does not tell the login of %s, who may be meant", hidden)
	}
	if len(l.rows) > 0 {
		l.near = nil
	}
	return nil
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
	not := d.notOne(l, ref)
	f.Code, f.Message = CodeUnknownPrincipal, not.Error()
	switch {
	case not.IDs != "":
		f.Code = CodeAmbiguousPrincipal
		f.Message += "; add the id of the one that is meant: " + not.IDs
	case not.OnlyEveryone:
		f.Message += ": if it is a guest or a service account add its id"
	}
	if not.Meant != "" {
		f.Message += "; " + not.Meant
	}
	return mstrapi.PrincipalRow{}, f
}

// maxNear bounds how many names that nobody has are compared with the first page of
// those that begin alike.
const maxNear = 10

// maxBegun bounds how many are kept whose names begin with one that nobody has.
const maxBegun = 1000

// readNear reads, for the names in list that nobody has, names that begin alike.
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
		l.near = append(l.near, page.Rows...)
		return nil
	})
}
