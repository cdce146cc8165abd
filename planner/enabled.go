package planner

import (
	"cmp"
	"context"

	"privsync/mstrapi"
)

// learnEnabled finds out whether the users that have entries of their own are
// enabled, where the rows that named them do not tell: the rows of the list of
// users have no such field by the vendor's own sample, those of a group's
// members have. It costs a request for each such user, or the pages of the group
// Everyone where these are fewer.
func (ob *observer) learnEnabled(ctx context.Context, known everyone) error {
	var open []*Observed
	for o := range ob.st.all() {
		if o.Principal.Kind == mstrapi.User && o.Enabled == mstrapi.Unknown && !o.gone && o.Err == nil && (isExplicit(ob.pol, o.entries) || ob.st.licences.counts()) {
			open = append(open, o)
		}
	}
	return ob.askEnabled(ctx, open, known)
}

// learnHoldersEnabled finds out whether the users are enabled who hold what somebody
// asks for, and what they log in as, where nothing has told it yet.
func (ob *observer) learnHoldersEnabled(ctx context.Context) error {
	if ob.o.Asked.IsEmpty() {
		return nil
	}
	var open []*Observed
	for o := range ob.st.all() {
		if o.Principal.Kind == mstrapi.User && (o.Enabled == mstrapi.Unknown || o.Principal.Login == "") && !o.asked && o.Err == nil && !o.effective().Intersect(ob.o.Asked).IsEmpty() {
			open = append(open, o)
		}
	}
	defer ob.dropGone()
	return ob.askEnabled(ctx, open, nil)
}

// askEnabled finds out whether the users are enabled.
func (ob *observer) askEnabled(ctx context.Context, open []*Observed, known everyone) error {
	if len(open) == 0 {
		return nil
	}
	if err := known.read(ctx, ob.r, len(open)); err != nil {
		return err
	}
	return ob.work(ctx, len(open), func(ctx context.Context, i int) error {
		o := open[i]
		if row, ok := known[o.Principal.ID]; ok && row.Enabled != mstrapi.Unknown {
			o.Enabled, o.Principal.Login = row.Enabled, cmp.Or(o.Principal.Login, row.Login)
			return nil
		}
		row, err := ob.r.Principal(ctx, mstrapi.User, o.Principal.ID)
		if err == nil {
			o.Enabled, o.asked, o.Principal.Login = row.Enabled, true, cmp.Or(o.Principal.Login, row.Login)
			if row.Memberships != nil {
				ob.mu.Lock()
				ob.noteParents(o, row.Memberships)
				ob.mu.Unlock()
			}
			return nil
		}
		gone, fatal := ob.isGone(ctx, mstrapi.User, o.Principal.ID, err)
		if gone {
			ob.lose(o)
		} else if fatal == nil {
			// What the user holds can be read all the same.
			ob.log.WarnContext(ctx, "whether a user is enabled is not known", "user", o.Principal.ID, "error", err)
		}
		return fatal
	})
}

// everyone are the members of the group Everyone, nil until read.
type everyone map[mstrapi.ObjectID]mstrapi.PrincipalRow

// read reads them, once, if that takes no more than so many requests.
func (e *everyone) read(ctx context.Context, r Reader, requests int) error {
	if *e != nil || requests < 2 {
		return nil
	}
	members := r.Members(mstrapi.EveryoneGroup, true)
	first, err := members.First(ctx)
	var list []mstrapi.PrincipalRow
	if err == nil && first.Pages() <= requests {
		list, err = members.All(ctx)
	}
	if err != nil && isFatal(ctx, err) {
		return err
	}
	if list != nil {
		*e = make(everyone, len(list))
	}
	for _, row := range list {
		(*e)[row.ID] = row
	}
	return nil
}
