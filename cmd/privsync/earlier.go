package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"privsync/clean"
	"privsync/executor"
)

// checkEarlier finds the runs that applied the saved plan before, and says so. If a
// later run took back what they did, as the apply of a rollback does, the plan is
// refused: carried out again it would undo that.
func (r *applyRun) checkEarlier(ctx context.Context, store executor.Store) error {
	earlier, err := store.Earlier(ctx, r.dest, r.plan, sameServer(ctx, r.server))
	if err != nil {
		r.log.Warn("whether this plan was applied before is not known for sure", "error", err)
	}
	if earlier.Last.ID == "" {
		return nil
	}
	r.earlier = earlier
	for i := range r.plan.Changes {
		who := r.plan.Changes[i].Principal
		w := earlier.Writes[who.ID]
		if w == nil || w.Reverted.IsEmpty() {
			continue
		}
		seen, gone, err := lookAt(ctx, r.writer.Reader, who, r.plan.Scope.Level)
		if err != nil {
			return err
		}
		if gone {
			continue
		}
		if back := w.TakenBack(seen.Direct).Intersect(w.Reverted); !back.IsEmpty() {
			return refused(fmt.Errorf("run %s applied this plan at %s, and run %s at %s took back what it did to %s %s (privileges %v): nothing was written, for it would undo that",
				w.Run.ID, startOf(w.Run), w.RevertedBy.ID, startOf(w.RevertedBy), who.Kind, clean.Quote(cmp.Or(who.Login, who.Name)), back.IDs()), newPlanHint)
		}
	}
	r.say("run %s applied this plan before, at %s: what is left of it is done, and what was taken back since is left alone", earlier.Last.ID, startOf(earlier.Last))
	return nil
}

func startOf(run executor.Run) string { return run.StartedAt.UTC().Format(time.RFC3339) }
