package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// CommandServer is what [RunCommand] needs of a server.
type CommandServer interface {
	// SubmitCommand submits a metadata command and returns the id of its queue entry.
	SubmitCommand(ctx context.Context, commandID int) (queueID string, err error)
	// Queue reads a queue entry.
	Queue(ctx context.Context, id string) (mstrapi.QueueEntry, error)
}

// CommandNames returns the names of the metadata commands that [RunCommand]
// knows.
func CommandNames() []string { return []string{"assign-watch-kpi-insight"} }

// commandID returns the server's number for a command's name. Only command 1
// is documented as valid.
func commandID(name string) (int, bool) {
	return 1, name == "assign-watch-kpi-insight"
}

// commandTouches reports whether a metadata command may have changed a user who
// held last before it; nil: not known. Where the catalogue does not have the
// privilege by its name (names may be in another language), it may be anybody.
func (r *run) commandTouches(last *Sets) bool {
	i := slices.IndexFunc(r.o.Catalogue, func(p mstrapi.Privilege) bool {
		return strings.EqualFold(p.Name, planner.CommandNeeds)
	})
	if last == nil || i < 0 {
		return true
	}
	p := &r.o.Catalogue[i]
	if p.ProjectLevel || r.level == mstrapi.LevelProject {
		return true // a security role may give it, or a reading does not show it
	}
	return last.Direct.Has(p.ID) || last.Inherited.Has(p.ID)
}

// gifts returns what a metadata command grants, as far as the catalogue has it by
// its name.
func (r *run) gifts() planner.Set {
	var out planner.Set
	for i := range r.o.Catalogue {
		if name := r.o.Catalogue[i].Name; strings.EqualFold(name, planner.CommandWatchlist) || strings.EqualFold(name, planner.CommandInsight) {
			out.Add(r.o.Catalogue[i].ID)
		}
	}
	return out
}

// Bounds of the growing pause between two looks at a queue entry.
const (
	firstPoll = 500 * time.Millisecond
	lastPoll  = 10 * time.Second
)

// queueFinished is the status of a queue entry that finished well.
const queueFinished = 3

// RunCommand submits the metadata command called name once and follows its
// queue entry to the end, to o.CommandTimeout, or until ctx or o.Stop is done;
// o.Progress is told the percent. A submission whose answer was lost is not
// repeated: the result says that the server may be running the command.
func RunCommand(ctx context.Context, s CommandServer, name string, o Options) CommandResult {
	o = o.withDefaults(nil)
	res := CommandResult{Name: name, Outcome: CommandNotAttempted}
	id, ok := commandID(name)
	if !ok {
		res.Outcome, res.Error = CommandFailed, &Error{Message: fmt.Sprintf("unknown metadata command %s", clean.Quote(clean.Clip(name, 80)))}
		return res
	}
	if ctx.Err() != nil || o.Stop.Err() != nil {
		return res
	}
	if err := o.Journal.command(typeCommandIntent, CommandResult{Name: name}, o.Now()); err != nil {
		res.Error = reportError("", err)
		return res
	}
	queueID, err := s.SubmitCommand(mstrapi.WithStop(ctx, o.Stop), id)
	switch {
	case errors.Is(err, mstrapi.ErrStopped):
		return res
	case errors.Is(err, mstrapi.ErrLockLost):
		res.Error = reportError("", err)
		return res
	case err != nil:
		res.Outcome, res.Error = CommandFailed, reportError("submit", err)
		if mstrapi.OutcomeUnknown(err) {
			res.Error.Message += " (the answer was lost: the server may be running the command)"
		}
		return res
	}
	res.Outcome = CommandFailed // until its end is known
	res.QueueID = queueID
	// Losing this record costs the recovery a look at the queue, nothing else.
	_ = o.Journal.command(typeCommandQueued, CommandResult{Name: name, QueueID: queueID}, o.Now())
	followQueue(ctx, s, &res, o)
	return res
}

// followQueue polls until the queue entry has ended.
func followQueue(ctx context.Context, s CommandServer, res *CommandResult, o Options) {
	watched, done := untilStopped(ctx, o.Stop)
	defer done()
	limited, cancel := context.WithTimeout(watched, o.CommandTimeout)
	defer cancel()
	var lastErr error
	for wait := firstPoll; ; wait = min(wait*3/2, lastPoll) {
		entry, err := s.Queue(limited, res.QueueID)
		switch {
		case err == nil:
			lastErr = nil
			res.Status, res.Progress, res.IServerErrorCode = entry.Status, entry.Progress, entry.IServerErrorCode
			o.Progress("command", min(max(entry.Progress, 0), 100), 100)
			if ended(res) {
				return
			}
		case limited.Err() != nil:
			// The error is the limit's own.
		case gone(err):
			res.Error = reportError("queue entry", err)
			return
		default:
			lastErr = err
		}
		if mstrapi.Sleep(limited, wait) == nil {
			continue
		}
		if watched.Err() != nil {
			res.Outcome = CommandInterrupted
			return
		}
		res.Outcome = CommandTimedOut
		res.Error = &Error{Message: fmt.Sprintf("still running after %s", o.CommandTimeout)}
		if lastErr != nil {
			res.Error = reportError(fmt.Sprintf("no answer about it within %s", o.CommandTimeout), lastErr)
		}
		return
	}
}

// gone reports whether err says for good that there is no such queue entry, or
// that it is not ours to see.
func gone(err error) bool {
	e, ok := errors.AsType[*mstrapi.Error](err)
	return ok && e.Status >= 400 && e.Status < 500 && e.Status != 408 && e.Status != 429
}

// ended sets the outcome of a queue entry that has come to its end.
func ended(res *CommandResult) bool {
	switch {
	case res.IServerErrorCode != 0:
		res.Outcome = CommandFailed
		res.Error = &Error{IServerCode: res.IServerErrorCode, Message: fmt.Sprintf("the server ended the command with error code %d", res.IServerErrorCode)}
	case res.Status == queueFinished:
		res.Outcome = CommandSucceeded
	default:
		return false
	}
	return true
}

// commands runs the plan's metadata commands one after the other.
func (r *run) commands() []CommandResult {
	results := []CommandResult{}
	for _, name := range r.plan.Commands {
		if r.halted() {
			results = append(results, CommandResult{Name: name, Outcome: CommandNotAttempted})
			continue
		}
		res := RunCommand(r.ctx, r.s, name, r.o)
		r.wrote()
		if err := r.o.Journal.command(typeCommandDone, res, r.o.Now()); err != nil {
			r.journalFailed(err)
		}
		results = append(results, res)
	}
	return results
}
