package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
)

const (
	// serverLockTries is how often the server is asked in a row for a lock that nobody
	// holds, before it counts as refused: an answer may be late, or another node's.
	serverLockTries = 3
	// firstLockPoll and lastLockPoll bound the growing pause between two looks at the
	// server's lock.
	firstLockPoll = 200 * time.Millisecond
	lastLockPoll  = 5 * time.Second
)

// ErrNoServerLock is matched by the errors of [TakeServerLock] when the server does
// not know such a lock, refuses it, or does not tell whose it is.
var ErrNoServerLock = errors.New("the server gives no lock")

// ServerLockError is the error of [TakeServerLock] when somebody else holds the
// server's lock.
type ServerLockError struct {
	Held mstrapi.ConfigurationLock
	// Own says that it is a lock of the same run, of a session that was lost.
	Own bool
}

// Error says who holds the lock.
func (e *ServerLockError) Error() string {
	if e.Own {
		return "the server's lock is still that of this run's lost session: " + DescribeLock(e.Held)
	}
	return "somebody else has the server's lock: " + DescribeLock(e.Held)
}

// DescribeLock returns one line that says all that is known about a lock that is
// held. Its texts are untrusted, and quoted.
func DescribeLock(l mstrapi.ConfigurationLock) string {
	const untold = "not told"
	owner, machine, since, id := untold, untold, untold, untold
	if l.Owner != "" || l.OwnerID != "" {
		owner = strings.TrimSpace(fmt.Sprintf("%s (%s)", clean.Quote(l.Owner), l.OwnerID))
	}
	if l.Machine != "" {
		machine = clean.Quote(l.Machine)
	}
	if !l.Since.IsZero() {
		since = l.Since.UTC().Format(time.RFC3339)
	}
	switch {
	case l.ID != "":
		id = clean.Quote(l.ID)
	case l.Comment != "":
		id += ", its comment is " + clean.Quote(clean.Clip(l.Comment, 300))
	}
	return fmt.Sprintf("owner %s, machine %s, since %s, %s, lock id %s", owner, machine, since, clean.Text(string(l.Type)), id)
}

// LockRun is the run that the id of a lock names. It is what somebody wrote into the
// lock: a hint for people, and no proof.
type LockRun struct {
	RunID, Host string
	PID         int
	Session     uint64 // of the run's sessions, 1 is the first
}

// ID returns the id of the lock that the run takes: each session has its own, so that
// a lock which a lost session left is not taken for the next one's.
func (r LockRun) ID() string {
	return fmt.Sprintf("privsync run=%s host=%s pid=%d session=%d", lockWord(r.RunID, 80), lockWord(r.Host, 100), r.PID, r.Session)
}

var lockIDForm = regexp.MustCompile(`^privsync run=([0-9A-Za-z._-]{1,80}) host=([0-9A-Za-z._-]{1,100}) pid=([0-9]{1,18}) session=([0-9]{1,18})$`)

// ParseLockID returns the run that the id names; ok is false if it names none.
func ParseLockID(id string) (run LockRun, ok bool) {
	m := lockIDForm.FindStringSubmatch(id)
	if m == nil {
		return LockRun{}, false
	}
	run.RunID, run.Host = m[1], m[2]
	_, err := fmt.Sscanf(m[3]+" "+m[4], "%d %d", &run.PID, &run.Session)
	return run, err == nil
}

// lockWord makes text a word of a lock's id.
func lockWord(text string, limit int) string {
	text = cmp.Or(wordOf(text), "unknown")
	return text[:min(len(text), limit)]
}

// ServerLockOptions are the settings of [TakeServerLock].
type ServerLockOptions struct {
	// Run says who takes it; Session is filled in.
	Run LockRun
	// Until is how long somebody else's lock is waited for, and, when the session was
	// renewed, Patience how long that of the lost one.
	Until    time.Time
	Patience time.Duration
	// Ended reports whether the run of that id has surely ended: it died, or is done.
	// The lock that such a run left is removed by its id if Account is its owner. Nil:
	// no run.
	Ended   func(runID string) bool
	Account mstrapi.ObjectID // the session's user; "" if unknown
	// Tell is told what a person who waits wants to know; nil: nobody is.
	Tell func(text string)
}

// ServerLock is the server's lock as a run holds it. It is the keeper of
// [mstrapi.Writer.KeepLock].
type ServerLock struct {
	o      ServerLockOptions
	w      *mstrapi.Writer
	waited bool

	mu sync.Mutex
	id string // of the latest session that took it
}

// TakeServerLock takes the server's lock for all changes that w will send. It waits
// for somebody else's until o.Until and then returns a [*ServerLockError]; an error
// that matches [ErrNoServerLock] says that the server has no such lock for this
// account. ctx ends the wait. The caller calls [ServerLock.Release] when it has
// written, and reads what it decides by only after TakeServerLock.
func TakeServerLock(ctx context.Context, w *mstrapi.Writer, o ServerLockOptions) (*ServerLock, error) {
	if o.Ended == nil {
		o.Ended = func(string) bool { return false }
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	l := &ServerLock{o: o, w: w}
	if err := w.KeepLock(ctx, l); err != nil {
		return nil, fmt.Errorf("server lock: %w", err)
	}
	return l, nil
}

// Waited reports whether somebody else's lock had to be waited for.
func (l *ServerLock) Waited() bool { return l.waited }

// Release gives the lock back. The end of the session would as well. The error matches
// [mstrapi.ErrLockLost] if somebody else has it: it was taken away from the run.
func (l *ServerLock) Release(ctx context.Context) error {
	if l == nil {
		return nil
	}
	err := l.w.LetGo(ctx, func(s mstrapi.LockSession) error {
		l.mu.Lock()
		id := l.id
		l.mu.Unlock()
		removed := s.Remove(ctx, mstrapi.ConfigurationLock{Type: mstrapi.TemporalIndividual, ID: id})
		if removed == nil {
			return nil
		}
		// The answer may be lost, or somebody else may have removed it.
		held, err := s.Read(ctx)
		_, answered := errors.AsType[*mstrapi.Error](removed)
		switch {
		case err != nil || held.Has(id):
			return removed
		case answered && held.Held():
			return fmt.Errorf("%w: %w", mstrapi.ErrLockLost, &ServerLockError{Held: held})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give the server's lock back: %w", err)
	}
	return nil
}

// Check implements [mstrapi.LockKeeper].
func (l *ServerLock) Check(ctx context.Context, s mstrapi.LockSession) error {
	held, err := s.Read(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("see whether the server's lock is still held: %w", err)
	case held.Has(l.idFor(s)):
		return nil
	case !held.Held():
		return fmt.Errorf("%w: somebody removed it while this run held it", mstrapi.ErrLockLost)
	}
	return fmt.Errorf("%w: %w", mstrapi.ErrLockLost, &ServerLockError{Held: held})
}

func (l *ServerLock) idFor(s mstrapi.LockSession) string {
	run := l.o.Run
	run.Session = s.Number()
	return run.ID()
}

// Take implements [mstrapi.LockKeeper].
//
//	the lock is     free           ask for it, and look again, at most serverLockTries times
//	                this session's done, whatever the answers were
//	                an ended run's ask once to remove it by its id, and look again
//	                another's      wait, and look again; after a renewal only for that of the
//	                               run's own lost session
func (l *ServerLock) Take(ctx context.Context, s mstrapi.LockSession) error {
	l.mu.Lock()
	renewed := l.id != "" && l.id != l.idFor(s)
	until := l.o.Until
	if renewed {
		until = time.Now().Add(l.o.Patience)
	}
	l.mu.Unlock()
	err := l.take(ctx, s, until, renewed)
	var other *ServerLockError
	if renewed && (errors.As(err, &other) || errors.Is(err, ErrNoServerLock)) {
		err = fmt.Errorf("%w when the session was renewed: %w", mstrapi.ErrLockLost, err)
	}
	return err
}

func (l *ServerLock) take(ctx context.Context, s mstrapi.LockSession, until time.Time, renewed bool) error {
	id := l.idFor(s)
	missed := 0 // times that it was asked for and was not there
	told, removed := "", ""
	for pause := firstLockPoll; ; pause = min(2*pause, lastLockPoll) {
		held, err := s.Read(ctx)
		if err == nil && !held.Held() {
			missed++
			held, err = ask(ctx, s, id, missed >= serverLockTries)
		}
		switch {
		case err != nil:
			return lockRefusal(err)
		case held.Has(id):
			return l.taken(ctx, s, id, held)
		case !held.Held():
			if err := mstrapi.Sleep(ctx, pause); err != nil {
				return err
			}
			continue
		}
		missed = 0
		run, names := ParseLockID(held.ID)
		other := &ServerLockError{Held: held, Own: names && run.RunID == lockWord(l.o.Run.RunID, 80)}
		if l.left(held, run, names) && removed != held.ID {
			removed = held.ID
			if err := s.Remove(ctx, held); unauthorized(err) {
				return err
			}
			if after, err := s.Read(ctx); err == nil && !after.Has(held.ID) {
				l.o.Tell("removed the server's lock of a run that has ended: " + DescribeLock(held))
				continue
			}
		}
		left := time.Until(until)
		if left <= 0 || renewed && !other.Own {
			return other
		}
		l.waited = true
		if now := DescribeLock(held); now != told {
			told = now
			l.o.Tell(fmt.Sprintf("waiting up to %s: %s", left.Round(time.Second), other))
		}
		if err := mstrapi.Sleep(ctx, min(pause, left)); err != nil {
			return errors.Join(err, other)
		}
	}
}

// ask asks for the lock, which was free, and returns what is there then, whatever the
// answer was. With last a lock that is not there then is an error.
func ask(ctx context.Context, s mstrapi.LockSession, id string, last bool) (mstrapi.ConfigurationLock, error) {
	asked := s.Take(ctx, id)
	if needsNoLook(asked) {
		return mstrapi.ConfigurationLock{}, asked
	}
	held, err := s.Read(ctx)
	switch {
	case err != nil || held.Has(id):
	case held.Held() && asked == nil && held.ID == "":
		err = fmt.Errorf("%w: it says that it is taken, and not by whom: %s", ErrNoServerLock, DescribeLock(held))
	case !held.Held() && last && asked != nil:
		err = fmt.Errorf("%w: %w", ErrNoServerLock, asked)
	case !held.Held() && last:
		err = fmt.Errorf("%w: it answers that it is taken, and is not", ErrNoServerLock)
	}
	return held, err
}

// taken notes that s has the lock.
func (l *ServerLock) taken(ctx context.Context, s mstrapi.LockSession, id string, held mstrapi.ConfigurationLock) error {
	if held.Type != mstrapi.TemporalIndividual {
		_ = s.Remove(ctx, held) // what was not asked for must not stay; the error says it all
		return fmt.Errorf("%w of the kind %s: it made a %s of it", ErrNoServerLock, mstrapi.TemporalIndividual, clean.Text(string(held.Type)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = id
	return nil
}

// left reports whether the lock is what a run left that has ended, and this account
// may remove.
func (l *ServerLock) left(held mstrapi.ConfigurationLock, run LockRun, names bool) bool {
	return names && run.RunID != lockWord(l.o.Run.RunID, 80) && held.Type == mstrapi.TemporalIndividual &&
		l.o.Account != "" && held.OwnerID == l.o.Account && l.o.Ended(run.RunID)
}

// RemoveLeftLock removes the server's lock by its id if it is what a run left that
// ended reports to have ended, and account is its owner. It returns the lock, or nil
// if there is none such, and whether it is gone; it waits for that until the time.
func RemoveLeftLock(ctx context.Context, r *mstrapi.Reader, ended func(runID string) bool, account mstrapi.ObjectID, until time.Time) (left *mstrapi.ConfigurationLock, gone bool, err error) {
	l := &ServerLock{o: ServerLockOptions{Ended: ended, Account: account}}
	held, err := r.ConfigurationLock(ctx)
	if err != nil {
		return nil, false, err
	}
	run, names := ParseLockID(held.ID)
	if !l.left(held, run, names) {
		return nil, false, nil
	}
	err = mstrapi.RemoveLock(ctx, r, held, false)
	for pause := firstLockPoll; ; pause = min(2*pause, lastLockPoll) {
		after, e := r.ConfigurationLock(ctx)
		if e != nil {
			return &held, false, e
		}
		if !after.Has(held.ID) {
			return &held, true, nil
		}
		left := time.Until(until)
		if left <= 0 {
			return &held, false, err
		}
		if e := mstrapi.Sleep(ctx, min(pause, left)); e != nil {
			return &held, false, e
		}
	}
}

// needsNoLook reports whether the error of asking for the lock says all: the session
// is lost, the run was stopped, the server is gone, or there is no such lock.
func needsNoLook(err error) bool {
	return err != nil && (unauthorized(err) || LockUnknown(err) || mstrapi.IsForbidden(err) || errors.Is(err, mstrapi.ErrUnreachable) ||
		errors.Is(err, mstrapi.ErrStopped) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// lockRefusal says of an answer that the server has no lock for this account.
func lockRefusal(err error) error {
	switch {
	case errors.Is(err, ErrNoServerLock):
	case mstrapi.IsForbidden(err):
		return fmt.Errorf("%w to this account: %w", ErrNoServerLock, err)
	case LockUnknown(err):
		return fmt.Errorf("%w: this version of it does not know one: %w", ErrNoServerLock, err)
	}
	return err
}

// LockUnknown reports whether the answer to a request for the server's lock says that this
// version of the server does not know one, whatever words or page stand in it.
func LockUnknown(err error) bool {
	e, ok := errors.AsType[*mstrapi.Error](err)
	return ok && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented)
}

// unauthorized reports whether err is the answer to a session that is lost.
func unauthorized(err error) bool {
	e, ok := errors.AsType[*mstrapi.Error](err)
	return ok && e.Status == http.StatusUnauthorized
}
