package planner

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// ObjectReader reads one user or group.
type ObjectReader interface {
	Principal(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (mstrapi.PrincipalRow, error)
}

// IsGone reports whether err, met while a principal was read that something on
// the server had named, means that the principal does not exist any more. One
// answer may be about a moment, and a node that is broken may find nothing at all.
// So the principal is asked for once more by its id, and then self, the session's
// user, who cannot be gone; where self is empty, the group Everyone. Only if the
// one is not found and the other is, the principal is gone. The error is what a
// question ended with, where that does not answer it.
func IsGone(ctx context.Context, r ObjectReader, self mstrapi.ObjectID, kind mstrapi.Kind, id mstrapi.ObjectID, err error) (bool, error) {
	if !mstrapi.IsNotFound(err) {
		return false, nil
	}
	if _, err = r.Principal(ctx, kind, id); !mstrapi.IsNotFound(err) {
		return false, err
	}
	if self != "" {
		_, err = r.Principal(ctx, mstrapi.User, self)
	} else {
		_, err = r.Principal(ctx, mstrapi.Group, mstrapi.EveryoneGroup)
	}
	return err == nil, err
}

// isGone is [IsGone], whose error is fatal, as err may be.
func (rd *reading) isGone(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, err error) (gone bool, fatal error) {
	switch {
	case isFatal(ctx, err):
		return false, err
	case !mstrapi.IsNotFound(err):
		return false, nil
	}
	who, asked := rd.session()
	if asked != nil && !mstrapi.IsRouteMissing(asked) {
		return false, nil // which ends the reading by itself
	}
	gone, err = IsGone(ctx, rd.r, who.ID, kind, id, err)
	if err != nil && isFatal(ctx, err) {
		return false, err
	}
	return gone, nil
}

// readRow reads one user or group; gone says that it does not exist.
func (rd *reading) readRow(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (row mstrapi.PrincipalRow, gone bool, err error) {
	if row, err = rd.r.Principal(ctx, kind, id); err != nil {
		gone, fatal := rd.isGone(ctx, kind, id, err)
		if gone {
			return row, true, nil
		}
		return row, false, cmp.Or(fatal, err)
	}
	row.Kind = kind
	return row, false, nil
}

// noteGone notes that what a row or a source names does not exist.
func (rd *reading) noteGone(who Principal) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if rd.st.gone == nil {
		rd.st.gone = make(map[mstrapi.ObjectID]Principal)
	}
	rd.st.gone[who.ID] = who
}

// goneGroup notes that the group which ref names stands in lists and does not
// exist: for the policy that is as if it stood in none.
func (rs *resolver) goneGroup(ref policy.PrincipalRef, row mstrapi.PrincipalRow) *Finding {
	who := principalOf(row)
	rs.noteGone(who)
	return &Finding{
		Code: CodeUnknownPrincipal, Severity: SeverityError, Principal: &who, Position: position(ref.Pos),
		Message: fmt.Sprintf("the server has no %s: a list names it, and by its id %s it is not there", describeRef(ref), row.ID),
	}
}

// lose makes o one that is gone: it holds nothing and belongs nowhere.
func (rd *reading) lose(o *Observed) {
	if known := rd.st.byID[o.Principal.ID]; known != nil {
		o = known
	}
	rd.noteGone(o.Principal)
	o.gone = true
	o.Err, o.held, o.Direct, o.Inherited = nil, nil, Set{}, Set{}
	o.parents = parentList{known: true}
}

// settle records what reading about o came to: it is gone, or could not be read.
// The error is fatal.
func (rd *reading) settle(ctx context.Context, o *Observed, err error) error {
	gone, fatal := rd.isGone(ctx, o.Principal.Kind, o.Principal.ID, err)
	switch {
	case gone:
		rd.lose(o)
	case fatal == nil:
		o.Err = err
	}
	return fatal
}

// dropGone takes those who are gone out of everything that is decided about.
// They stay findable by id, so that nothing reads them again.
func (rd *reading) dropGone() {
	st := rd.st
	if len(st.gone) == 0 {
		return
	}
	isGone := func(o *Observed) bool { return o.gone }
	for _, list := range []*[]*Observed{&st.covered, &st.unlisted, &st.strangers} {
		*list = slices.DeleteFunc(*list, isGone)
	}
	for id := range st.gone {
		if o := st.byID[id]; o != nil {
			o.Covered, o.scanned = false, false
		}
		delete(st.reached, id)
	}
}
