package main

import (
	"context"

	"privsync/mstrapi"
	"privsync/planner"
)

// isGone is [planner.IsGone] for r's session. The error ends the run: the session's
// user could not be asked for.
func isGone(ctx context.Context, r *mstrapi.Reader, kind mstrapi.Kind, id mstrapi.ObjectID, err error) (bool, error) {
	if !mstrapi.IsNotFound(err) {
		return false, nil
	}
	self, asked := sessionUser(ctx, r)
	if asked != nil {
		return false, asked
	}
	gone, _ := planner.IsGone(ctx, r, self.ID, kind, id, err)
	return gone, nil
}

// lookAt is [planner.ReadPrincipal]; gone says that the principal does not exist. One
// answer that it does not, about one that is there, is not the last word.
func lookAt(ctx context.Context, r *mstrapi.Reader, p planner.Principal, level mstrapi.Level) (seen planner.Observation, gone bool, err error) {
	seen, err = planner.ReadPrincipal(ctx, r, p.Kind, p.ID, level)
	if !mstrapi.IsNotFound(err) {
		return seen, false, err
	}
	if gone, fatal := isGone(ctx, r, p.Kind, p.ID, err); gone || fatal != nil {
		return seen, gone, fatal
	}
	seen, err = planner.ReadPrincipal(ctx, r, p.Kind, p.ID, level)
	return seen, false, err
}
