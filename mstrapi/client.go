package mstrapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// logoutTimeout bounds Close, which happens on bad endings too.
const logoutTimeout = 10 * time.Second

// loginGrace is how much longer than its caller the first login may last: given
// up on its way it could leave a session behind that nobody can log out.
const loginGrace = 2 * time.Second

// client is what Reader and Writer share: the pipeline and what it needs.
type client struct {
	cfg       Config
	base      *url.URL
	log       *slog.Logger
	transport http.RoundTripper
	cert      *clientCert // nil with a transport of the caller's
	proxy     Proxy       // that plain http goes through
	pace      *pacer
	outage    *outage
	watch     watch
	sessions  sessions
	keeper    atomic.Pointer[keeper] // nil: no lock is kept
	bodies    sync.Pool              // of *bytes.Buffer
	decoders  sync.Pool              // of *heldDecoder
	headers   *headers               // without a session
	everyone  userList
	levels    atomic.Pointer[map[PrivilegeID]Level] // by the catalogue; nil until that was read

	life context.Context // of logins that serve several callers
	end  context.CancelFunc

	closing  sync.Once
	closeErr error

	requests, retries atomic.Int64
	waiting           atomic.Int64                   // requests that were sent and will be sent again
	resting           atomic.Int64                   // those of them that are not under way just now
	odd               atomic.Pointer[[]OddPrivilege] // of the catalogue that was read last

	secretsMu sync.Mutex
	secrets   []string     // cut out of the server's texts
	cookies   []sentCookie // cut out as well: the last ones
}

// newClient returns a client that has not logged in.
func newClient(ctx context.Context, cfg Config) (*client, error) {
	cfg, base, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &client{cfg: cfg, base: base, log: cfg.Logger, transport: cfg.Transport, pace: newPacer(cfg.Rate, cfg.Logger), outage: newOutage()}
	if c.transport == nil {
		if c.cert, err = newClientCert(cfg.ClientCert, cfg.ClientKey, time.Now()); err != nil {
			return nil, err
		}
		if c.transport, err = awaitTransport(ctx, cfg, c.cert); err != nil {
			return nil, err
		}
		if base.Scheme == "http" {
			if c.proxy, err = ProxyFor(cfg); err != nil {
				return nil, err
			}
		}
	}
	c.watch.tell = c.tellSilence
	c.headers = newHeaders(cfg.UserAgent, "", "")
	c.sessions.login = func(number uint64) (*session, error) { return c.login(c.life, number, false) }
	c.sessions.alert = func() {
		c.log.LogAttrs(c.life, slog.LevelWarn, "the server refused a new session right after its login; if that goes on, check that cookies and the load balancer's stickiness survive the way to it")
	}
	c.everyone.loading = make(chan struct{}, 1)
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.keepSecret(cfg.Password)
	c.keepSecret(cfg.APIToken)
	return c, nil
}

// open returns a client that has logged in.
func open(ctx context.Context, cfg Config) (*client, error) {
	if err := cfg.checkLogin(); err != nil {
		return nil, err
	}
	c, err := newClient(ctx, cfg)
	if err != nil {
		return nil, err
	}
	lctx, cancel := outlive(ctx, loginGrace)
	defer cancel()
	s, err := c.login(lctx, 1, true)
	if err != nil {
		c.end()
		c.closeIdle()
		return nil, err
	}
	c.sessions.current, c.sessions.last = s, 1
	if ctx.Err() != nil {
		_ = c.close(ctx) // the caller hears of its own context
		return nil, context.Cause(ctx)
	}
	return c, nil
}

// tellSilence says that nothing was answered for so long to so many requests that are
// under way; those that wait to be sent again count as well.
func (c *client) tellSilence(silent time.Duration, waiting int) {
	if c.outage.mayTell() {
		c.log.LogAttrs(c.life, slog.LevelInfo, "no answer yet, still waiting", slog.Duration("for", silent.Round(time.Second)),
			slog.Int64("waiting", int64(waiting)+c.resting.Load()))
	}
}

// outlive returns a context that ends, for the reason of ctx, by d after ctx.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		if Sleep(longer, d) == nil {
			end(context.Cause(ctx))
		}
	})
	return longer, func() {
		forget()
		end(nil)
	}
}

// close logs out once; see [Reader.Close].
func (c *client) close(ctx context.Context) error {
	c.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		current, left := c.sessions.close(ctx, c.end)
		if current != nil {
			c.closeErr = c.logout(ctx, current)
		}
		for _, s := range left {
			_ = c.logout(ctx, s) // most are gone
		}
		c.closeIdle()
	})
	return c.closeErr
}

// closeIdle gives back the connections of the client's own transport.
func (c *client) closeIdle() {
	c.watch.stop()
	if t, ok := c.transport.(*http.Transport); ok && c.cfg.Transport == nil {
		t.CloseIdleConnections()
	}
}

// shortSecret is the length below which a secret is not cut out of the server's
// texts: it would be found by chance, and the gaps would give it away.
const shortSecret = 4

// keepSecret remembers a secret that must not come back in an error.
func (c *client) keepSecret(s Secret) {
	text := s.Reveal()
	if len(text) < shortSecret {
		return
	}
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	for _, form := range secretForms(text) {
		if !slices.Contains(c.secrets, form) {
			c.secrets = append(c.secrets, form)
		}
	}
}

// secretForms returns how a server may write a text that it was sent.
func secretForms(text string) []string {
	quoted := string(encodeJSON(text))
	return []string{text, url.QueryEscape(text), url.PathEscape(text), quoted[1 : len(quoted)-1]}
}

// scrub cuts the client's secrets out of a text from the server.
func (c *client) scrub(text string) string { return c.cut(text, true) }

// scrubDocument is scrub for a body that is still to be decoded: what comes out of it
// is scrubbed again.
func (c *client) scrubDocument(body []byte) []byte { return []byte(c.cut(string(body), false)) }

func (c *client) cut(text string, words bool) string {
	if text == "" {
		return ""
	}
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	for _, secret := range c.secrets {
		text = cutOut(text, secret)
	}
	for i := range c.cookies {
		text = c.cookies[i].cutOut(text, words)
	}
	return text
}

// cutOut returns text without secret, and without its beginning where clip cut the
// text off in the middle of it.
func cutOut(text, secret string) string {
	text = strings.ReplaceAll(text, secret, redacted)
	const cut = "…"
	for at := strings.Index(text, cut); at >= 0; {
		for n := min(len(secret)-1, at); n >= shortCookie; n-- {
			if strings.HasSuffix(text[:at], secret[:n]) {
				text = text[:at-n] + redacted + text[at:]
				at += len(redacted) - n
				break
			}
		}
		next := strings.Index(text[at+len(cut):], cut)
		if next < 0 {
			break
		}
		at += len(cut) + next
	}
	return text
}

// scrubError returns err without the client's secrets in its text: headers and rows
// that could not be understood are quoted there.
func (c *client) scrubError(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); text != "" {
		if scrubbed := c.scrub(text); scrubbed != text {
			return retoldError{err, scrubbed}
		}
	}
	return err
}

// retoldError is an error with another text: its own held a secret, or said too little.
type retoldError struct {
	err  error
	text string
}

func (e retoldError) Error() string { return e.text }
func (e retoldError) Unwrap() error { return e.err }

// stats returns what was sent so far.
func (c *client) stats() Stats {
	return Stats{Requests: c.requests.Load(), Retries: c.retries.Load()}
}
