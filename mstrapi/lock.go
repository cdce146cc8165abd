package mstrapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
)

// LockType is the kind of a lock on the server's configuration object, as the
// server spells it: untrusted text.
type LockType string

const (
	// NotLocked says that there is no lock.
	NotLocked LockType = "not_locked"
	// TemporalIndividual locks the configuration object alone, for one session, and
	// vanishes with that session. It is the only one that this package takes: a
	// constituent lock would lock the users as well.
	TemporalIndividual LockType = "temporal_individual"
)

const (
	// MaxLockID bounds the id of a lock, in bytes.
	MaxLockID = 250
	// maxLockComment bounds the comment of a lock that is kept, in bytes.
	maxLockComment = 4 << 10

	lockPath = "/api/iserver/lock"
)

// ConfigurationLock is what the server tells about the lock on its configuration
// object. All texts are the server's, or of whoever took the lock. Empty ones, and a
// zero time, are what it does not tell.
type ConfigurationLock struct {
	Type    LockType
	ID      string // that its holder gave it, read from Comment
	Comment string
	Since   time.Time
	Machine string
	OwnerID ObjectID
	Owner   string // the owner's name
}

// Held reports whether anybody holds the lock.
func (l ConfigurationLock) Held() bool { return l.Type != NotLocked }

// Has reports whether the lock is the one that was taken with that id.
func (l ConfigurationLock) Has(id string) bool {
	return l.Held() && id != "" && (l.ID == id || l.ID == "" && strings.TrimSpace(l.Comment) == id)
}

// ConfigurationLock returns the state of the lock on the server's configuration
// object. [IsRouteMissing] holds of the error where the server's version has no
// such endpoint.
func (r *Reader) ConfigurationLock(ctx context.Context) (ConfigurationLock, error) {
	return r.c.readLock(ctx, nil)
}

// RemoveLock removes l, told by its type and its id. With force the server is asked
// to remove it whosever it is. nil means that the server said yes: read to verify. It
// is no method of [Reader] so that nothing but an explicit wish leads to it, and
// changes no privilege.
func RemoveLock(ctx context.Context, r *Reader, l ConfigurationLock, force bool) error {
	return r.c.removeLock(ctx, nil, l, force)
}

// ErrLockLost is matched by the error of a change that was not sent because the
// server's lock, which the run held, is somebody else's now.
var ErrLockLost = errors.New("the server's lock is lost")

// LockSession is one session's way to the server's lock. Its requests go with that
// session and no other, and end with 401 once it is lost.
type LockSession struct {
	c *client
	s *session
}

// Number tells the sessions of a client apart: 1 is the first.
func (l LockSession) Number() uint64 { return l.s.number }

// Read returns the state of the lock.
func (l LockSession) Read(ctx context.Context) (ConfigurationLock, error) {
	return l.c.readLock(ctx, l.s)
}

// Take asks for the lock, [TemporalIndividual], with that id. Neither its error nor
// nil tells whether the session has it: read.
func (l LockSession) Take(ctx context.Context, id string) error {
	if err := checkLockID(id); err != nil {
		return err
	}
	body := struct {
		LockType LockType `json:"lockType"`
		LockID   string   `json:"lockId"`
	}{TemporalIndividual, id}
	return l.c.lockRequest(ctx, &request{method: http.MethodPut, path: lockPath, body: encodeJSON(body), class: writeRequest, limit: singleLimit, session: l.s})
}

// Remove removes the lock, told by its type and id, never by force.
func (l LockSession) Remove(ctx context.Context, lock ConfigurationLock) error {
	return l.c.removeLock(ctx, l.s, lock, false)
}

// A LockKeeper takes the server's lock, sees that it is still held, and gives it
// back. Its methods are never called concurrently. An error that matches
// [ErrLockLost] ends all changes; one of a lost session is returned as it is.
type LockKeeper interface {
	// Take takes the lock for s, which is the first session or the next one.
	Take(ctx context.Context, s LockSession) error
	// Check returns nil if s, for which Take took it, still has the lock.
	Check(ctx context.Context, s LockSession) error
}

// lockRecheck is how long a lock counts as held after it was seen.
const lockRecheck = 5 * time.Second

// keeper sees to it that no change is sent in a session that does not have the
// lock. A nil keeper asks nobody.
type keeper struct {
	k    LockKeeper
	busy chan struct{} // holds a value while someone uses what follows

	session uint64    // that has the lock; 0: none
	seen    time.Time // when it was seen last
	lost    error     // why nothing is sent any more
}

// KeepLock has k take the lock at once, and again whenever the session was renewed:
// from now on no change is sent in a session without it. It is called once, before
// the first change.
func (w *Writer) KeepLock(ctx context.Context, k LockKeeper) error {
	kept := &keeper{k: k, busy: make(chan struct{}, 1)}
	var trace authTrace
	for {
		s, err := w.c.sessions.acquire(ctx)
		if err != nil {
			return err
		}
		err = kept.ensure(ctx, w.c, s)
		if e := unauthorized(err); e != nil && w.c.renew(ctx, s, &trace, e) {
			continue
		}
		if err == nil {
			w.c.keeper.Store(kept)
		}
		return err
	}
}

// LetGo ends the keeping of the lock: no change is sent any more. It calls give with
// the session that has the lock, unless that is lost. Without a kept lock it does
// nothing.
func (w *Writer) LetGo(ctx context.Context, give func(LockSession) error) error {
	kept := w.c.keeper.Load()
	if kept == nil {
		return nil
	}
	if err := kept.enter(ctx); err != nil {
		return err
	}
	defer kept.leave()
	had := kept.session
	kept.session, kept.lost = 0, ErrClosed
	s := w.c.sessions.now()
	if s == nil || s.number != had {
		return nil
	}
	return give(LockSession{w.c, s})
}

// now returns the current session, or nil.
func (ss *sessions) now() *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.current
}

func (k *keeper) enter(ctx context.Context) error {
	select {
	case k.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *keeper) leave() { <-k.busy }

// ensure returns nil once s has the lock.
func (k *keeper) ensure(ctx context.Context, c *client, s *session) error {
	if err := k.enter(ctx); err != nil {
		return err
	}
	defer k.leave()
	if k.lost != nil {
		return k.lost
	}
	var err error
	switch {
	case k.session != s.number:
		err = k.k.Take(ctx, LockSession{c, s})
	case time.Since(k.seen) > lockRecheck:
		err = k.k.Check(ctx, LockSession{c, s})
	default:
		return nil
	}
	switch {
	case err == nil:
		k.session, k.seen = s.number, time.Now()
	case errors.Is(err, ErrLockLost):
		k.lost = err
	}
	return err
}

// keepLock sees to it that s has the lock before a change is sent in it. It reports
// whether to begin anew with the next session; otherwise the change may be sent if
// the error is nil.
func (c *client) keepLock(ctx context.Context, s *session, t *authTrace) (again bool, err error) {
	kept := c.keeper.Load()
	if kept == nil {
		return false, nil
	}
	err = kept.ensure(ctx, c, s)
	if e := unauthorized(err); e != nil && c.renew(ctx, s, t, e) {
		return true, nil
	}
	return false, err
}

// unauthorized returns the answer of a lost session in err, or nil.
func unauthorized(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		return e
	}
	return nil
}

// lockRequest sends a request about the lock. One that goes with a certain session
// proves, when it is answered, that the session works.
func (c *client) lockRequest(ctx context.Context, q *request) error {
	err := c.do(ctx, q)
	if err == nil && q.session != nil {
		c.sessions.works(q.session)
	}
	return err
}

// removeLock removes l; s nil means the client's session.
func (c *client) removeLock(ctx context.Context, s *session, l ConfigurationLock, force bool) error {
	query := url.Values{"lockType": {string(l.Type)}}
	if l.ID != "" {
		query.Set("lockId", l.ID)
	}
	if force {
		query.Set("force", "true")
	}
	return c.lockRequest(ctx, &request{method: http.MethodDelete, path: lockPath, query: query.Encode(), class: writeRequest, limit: singleLimit, session: s})
}

// readLock reads the lock; s nil means the client's session.
func (c *client) readLock(ctx context.Context, s *session) (ConfigurationLock, error) {
	var answer *struct {
		Type    *string        `json:"lockType"`
		Time    jsontext.Value `json:"lockTime"`
		Comment jsontext.Value `json:"comment"`
		Machine jsontext.Value `json:"machineName"`
		Owner   jsontext.Value `json:"owner"`
	}
	var out ConfigurationLock
	err := c.lockRequest(ctx, &request{
		method: http.MethodGet, path: lockPath, limit: singleLimit, session: s,
		accept: acceptJSON(&answer, func() error {
			if answer == nil || answer.Type == nil || strings.TrimSpace(*answer.Type) == "" {
				return incompletef(`no "lockType"`)
			}
			kind := strings.ToLower(strings.TrimSpace(*answer.Type))
			if len(kind) > 100 {
				return incompletef(`a "lockType" that is none`)
			}
			out = ConfigurationLock{
				Type: LockType(kind), Since: licenceTime(answer.Time),
				Comment: textOf(answer.Comment), Machine: clip(textOf(answer.Machine), 200),
			}
			if len(out.Comment) > maxLockComment {
				out.Comment = ""
			}
			out.ID = lockIDOf(out.Comment)
			var owner struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			}
			if jsonv2.Unmarshal(answer.Owner, &owner, lenient()) == nil {
				out.OwnerID, _ = parseObjectID(owner.ID)
				out.Owner = clip(owner.Name, 200)
			}
			return nil
		}),
	})
	return out, err
}

// textOf returns raw as a text; "" for anything else.
func textOf(raw jsontext.Value) string {
	if raw.Kind() != '"' {
		return ""
	}
	return strings.ToValidUTF8(string(scalarText(raw)), "\ufffd")
}

// lockIDOf returns the id in a lock's comment: the text of its only element LOCKID.
// It is "" where the comment is no such document; with two of them it cannot be told
// which one the server wrote.
func lockIDOf(comment string) string {
	d := xml.NewDecoder(strings.NewReader(comment))
	// Whatever it says of its encoding, it came as JSON.
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var id bytes.Buffer
	found, inside := 0, 0
	for {
		token, err := d.Token()
		switch t := token.(type) {
		case xml.StartElement:
			if inside > 0 {
				return ""
			}
			if strings.EqualFold(t.Name.Local, "LOCKID") {
				found++
				inside++
			}
		case xml.EndElement:
			if inside > 0 {
				inside--
			}
		case xml.CharData:
			if inside > 0 {
				id.Write(t)
			}
		}
		if err != nil {
			text := strings.TrimSpace(id.String())
			if !errors.Is(err, io.EOF) || found != 1 || len(text) > MaxLockID {
				return ""
			}
			return text
		}
	}
}

// checkLockID returns why the server would not take id.
func checkLockID(id string) error {
	if id == "" || len(id) > MaxLockID || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%s is no id of a lock: want 1 to %d printable ASCII characters", clean.Quote(clip(id, codeLimit)), MaxLockID)
	}
	return nil
}
