package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/input"
	"privsync/mstrapi"
	"privsync/policy"
)

// The variables that hold secrets. No flag takes one: arguments are visible to
// every user of a machine.
const (
	passwordVariable = "PRIVSYNC_PASSWORD"
	tokenVariable    = "PRIVSYNC_API_TOKEN"
)

// urlVariable names the server.
const urlVariable = "PRIVSYNC_URL"

// maxSecretFile bounds a password or token file; a larger one is a mistake.
const maxSecretFile = 64 << 10

// logoutTime bounds the logout at the end of a run, interrupted or not.
const logoutTime = 10 * time.Second

// connectionFlags are the flags of every command that talks to a server.
type connectionFlags struct {
	url          string
	username     string
	mode         loginMode
	passwordFile string
	tokenFile    string
	caFile       string
	clientCert   string
	clientKey    string
	concurrency  count
	rate         rate
	timeout      span
	maxAttempts  count
	maxAnswer    count // MiB
	allowHTTP    bool

	flags *pflag.FlagSet // tells what a flag named from what a variable did

	named string // who named the server that config returned, for people
}

func (c *connectionFlags) register(cmd *cobra.Command) {
	c.concurrency = count{mstrapi.DefaultConcurrency, 1, 256}
	c.rate = 200
	c.timeout = span{value: mstrapi.DefaultTimeout}
	c.maxAttempts = count{mstrapi.DefaultMaxAttempts, 1, 100}
	c.maxAnswer = count{mstrapi.DefaultMaxAnswer >> 20, 1, 4096}
	fs := cmd.Flags()
	c.flags = fs
	fs.StringVar(&c.url, "url", "", "base `URL` of the server, up to and with /MicroStrategyLibrary")
	fs.StringVar(&c.username, "username", "", "log in as this `USER`")
	fs.Var(&c.mode, "login-mode", "standard (1), ldap (16) or apiToken (4096); default standard")
	fs.StringVar(&c.passwordFile, "password-file", "", "read the password from `FILE`")
	fs.StringVar(&c.tokenFile, "api-token-file", "", "read the API token from `FILE`")
	fs.StringVar(&c.caFile, "ca-file", "", "trust the certificates in this PEM `FILE` as well")
	fs.StringVar(&c.clientCert, "client-cert", "", "present the client certificate in this PEM `FILE`, for servers that want one")
	fs.StringVar(&c.clientKey, "client-key", "", "read the key of --client-cert from this PEM `FILE`")
	fs.Var(&c.concurrency, "concurrency", "requests in flight at once")
	fs.Var(&c.rate, "rate", "requests per second; 0 means no limit")
	fs.Var(&c.timeout, "timeout", "time limit of one request")
	fs.Var(&c.maxAttempts, "max-attempts", "tries of one request before it counts as failed")
	fs.Var(&c.maxAnswer, "max-answer", "largest list, or privileges of one principal, that is read, in MiB")
	fs.BoolVar(&c.allowHTTP, "allow-http", false, "permit plain http to a host that is not this machine: the password travels readably")
	for _, b := range [][2]string{
		{"url", urlVariable}, {"username", "PRIVSYNC_USERNAME"}, {"login-mode", "PRIVSYNC_LOGIN_MODE"},
		{"password-file", "PRIVSYNC_PASSWORD_FILE"}, {"api-token-file", "PRIVSYNC_API_TOKEN_FILE"},
		{"ca-file", "PRIVSYNC_CA_FILE"}, {"client-cert", "PRIVSYNC_CLIENT_CERT"}, {"client-key", "PRIVSYNC_CLIENT_KEY"}, {"concurrency", "PRIVSYNC_CONCURRENCY"}, {"rate", "PRIVSYNC_RATE"},
	} {
		bindVariable(fs, b[0], b[1])
	}
}

// config resolves the connection: flag beats variable beats fallback (the
// policy's environment section, or where a saved plan or a report was made)
// beats default. A URL of the fallback's counts only if [allowList] or the person at
// the terminal allows it. It reads the secret, and asks for a password on a terminal
// when none was given.
func (c *connectionFlags) config(a *app, fallback policy.Environment) (mstrapi.Config, error) {
	cfg := mstrapi.Config{
		LoginMode:   c.mode.mode,
		Username:    c.username,
		CAFile:      c.caFile,
		AllowHTTP:   c.allowHTTP,
		Concurrency: c.concurrency.value,
		Rate:        float64(c.rate),
		Timeout:     c.timeout.value,
		MaxAttempts: c.maxAttempts.value,
		MaxAnswer:   int64(c.maxAnswer.value) << 20,
		UserAgent:   "privsync/" + toolVersion(),
		Logger:      a.log,
	}
	var err error
	if cfg.URL, err = c.serverURL(a, fallback); err != nil {
		return cfg, err
	}
	if cfg.ClientCert, cfg.ClientKey, err = c.clientCertificate(a); err != nil {
		return cfg, err
	}
	if cfg.LoginMode == 0 && fallback.LoginMode != "" {
		var m loginMode
		if err := m.Set(fallback.LoginMode); err != nil {
			return cfg, fmt.Errorf("environment.loginMode: %w", err)
		}
		cfg.LoginMode = m.mode
	}
	err = c.credentials(a, &cfg)
	return cfg, err
}

// credentials puts into cfg who logs in, and reads the secret for it.
func (c *connectionFlags) credentials(a *app, cfg *mstrapi.Config) (err error) {
	token, _ := a.env(tokenVariable)
	tokenGiven := c.tokenFile != "" || token != ""
	if cfg.LoginMode == 0 {
		cfg.LoginMode = mstrapi.Standard
		// A token without a user name can mean only one thing.
		if tokenGiven && cfg.Username == "" {
			cfg.LoginMode = mstrapi.APIToken
		}
	}
	if cfg.LoginMode == mstrapi.APIToken {
		if !tokenGiven {
			return hinted(errors.New("no API token given"),
				"put it into a file and name the file with --api-token-file or PRIVSYNC_API_TOKEN_FILE, or set "+tokenVariable)
		}
		cfg.APIToken, err = c.secret(a, c.tokenFile, "api-token-file", tokenVariable)
		if err == nil && cfg.APIToken == "" {
			err = hinted(errors.New("the API token is empty"), "check the file or "+tokenVariable)
		}
		return err
	}
	switch {
	case strings.ContainsAny(cfg.Username, "\r\n\x00"):
		return hinted(errors.New("the user's name holds a line end"), "give --username or PRIVSYNC_USERNAME without it")
	case cfg.Username == "":
		return hinted(errors.New("no user given to log in as"), "say who with --username or PRIVSYNC_USERNAME")
	}
	if _, given := a.env(passwordVariable); c.passwordFile == "" && !given {
		cfg.Password, err = a.askPassword(fmt.Sprintf("Password of %s at %s: ", cfg.Username, cfg.URL))
		return err
	}
	cfg.Password, err = c.secret(a, c.passwordFile, "password-file", passwordVariable)
	return err
}

// secret reads a secret from the file, or else from the variable. When both
// are set by variables it cannot be told which is meant, so that is an error; a
// flag beats a variable.
func (c *connectionFlags) secret(a *app, file, flag, variable string) (mstrapi.Secret, error) {
	value, set := a.env(variable)
	if file == "" {
		if strings.ContainsAny(value, "\r\n\x00") || strings.HasPrefix(value, "\ufeff") {
			return "", hinted(fmt.Errorf("%s holds a line end or another character that no password has", variable), "set it without; $(cat FILE) in a shell leaves a carriage return of a Windows file: name the file instead")
		}
		return mstrapi.Secret(value), nil
	}
	if _, byVariable := a.env(variable + "_FILE"); set && value != "" && byVariable && !c.flags.Changed(flag) {
		return "", hinted(fmt.Errorf("both %s and %s_FILE are set", variable, variable), "unset one of them")
	}
	return await(a, func() (mstrapi.Secret, error) { return a.readSecretFile(file, flag) })
}

// readSecretFile reads a secret and takes its one trailing newline off.
func (a *app) readSecretFile(path, flag string) (mstrapi.Secret, error) {
	data, err := readSmallFile(path, flag, a.trustedFile)
	if err != nil {
		return "", err
	}
	text, err := plainSecret(data)
	if err != nil {
		return "", hinted(fmt.Errorf("--%s: %s: %w", flag, path, err), "the file must hold nothing but the secret, in UTF-8")
	}
	return mstrapi.Secret(text), nil
}

// readSmallFile reads the file that flag names, as large as a secret may be, if check
// lets it.
func readSmallFile(path, flag string, check func(*os.File) error) ([]byte, error) {
	f, err := input.Open(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("--%s: %w", flag, err), "check the path and who may read it")
	}
	defer f.Close()
	if err := check(f); err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	if len(data) > maxSecretFile {
		return nil, fmt.Errorf("--%s: %s is larger than %d bytes: not a secret", flag, path, maxSecretFile)
	}
	return data, nil
}

// clientCertificate reads the client certificate and its key; both are empty if none
// is given.
func (c *connectionFlags) clientCertificate(a *app) ([]byte, mstrapi.Secret, error) {
	const both = "give both: the certificate (PEM) with --client-cert or PRIVSYNC_CLIENT_CERT, its key (PEM) with --client-key or PRIVSYNC_CLIENT_KEY"
	switch {
	case c.clientCert == "" && c.clientKey == "":
		return nil, "", nil
	case c.clientKey == "":
		return nil, "", hinted(errors.New("--client-cert without --client-key"), both)
	case c.clientCert == "":
		return nil, "", hinted(errors.New("--client-key without --client-cert"), both)
	}
	type pair struct{ cert, key []byte }
	read, err := await(a, func() (pair, error) {
		cert, err := readSmallFile(c.clientCert, "client-cert", func(*os.File) error { return nil })
		if err != nil {
			return pair{}, err
		}
		key, err := readSmallFile(c.clientKey, "client-key", a.trustedFile)
		return pair{cert, key}, err
	})
	if err != nil {
		return nil, "", err
	}
	key := mstrapi.Secret(read.key)
	if err := mstrapi.CheckClientCert(read.cert, key, a.now()); err != nil {
		return nil, "", fmt.Errorf("--client-cert %s, --client-key %s: %w", c.clientCert, c.clientKey, err)
	}
	return read.cert, key, nil
}

// reader logs in with a client that cannot write, where the flags or else fallback
// say. The session ends with the command.
func (c *connectionFlags) reader(ctx context.Context, a *app, fallback policy.Environment) (*mstrapi.Reader, mstrapi.Config, error) {
	cfg, err := c.config(a, fallback)
	if err != nil {
		return nil, cfg, err
	}
	r, err := a.openReader(ctx, cfg)
	if err == nil {
		a.closers = append(a.closers, func() error { a.logout(ctx, r); return nil })
	}
	return r, cfg, err
}

// openReader logs in with a client that cannot write. The caller closes it
// with [app.logout].
func (a *app) openReader(ctx context.Context, cfg mstrapi.Config) (*mstrapi.Reader, error) {
	r, err := mstrapi.OpenReader(ctx, cfg)
	if err != nil {
		return nil, loginError(cfg, err)
	}
	a.log.Debug("logged in", "url", r.URL())
	return r, nil
}

// openWriter is openReader for commands that change the server.
func (a *app) openWriter(ctx context.Context, cfg mstrapi.Config) (*mstrapi.Writer, error) {
	w, err := mstrapi.OpenWriter(ctx, cfg)
	if err != nil {
		return nil, loginError(cfg, err)
	}
	a.log.Debug("logged in", "url", w.URL())
	return w, nil
}

// logout ends the session, also after an interrupt: sessions are licensed and
// limited. A failure is only logged: the session will expire by itself.
func (a *app) logout(ctx context.Context, s interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTime)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "logout failed; the session ends by itself when idle", slog.Any("error", err))
	}
}

// plainSecret returns the one line that a file of a secret holds: without a mark of
// its encoding, UTF-16 with such a mark decoded, without the line end after it. What
// cannot be part of a password that somebody can type is an error: sent, it would
// count as a wrong password, and some of these lock the account.
func plainSecret(data []byte) (string, error) {
	for mark, order := range map[string]binary.ByteOrder{"\xff\xfe": binary.LittleEndian, "\xfe\xff": binary.BigEndian} {
		if !bytes.HasPrefix(data, []byte(mark)) {
			continue
		}
		rest := data[len(mark):]
		if len(rest)%2 != 0 {
			return "", errors.New("it is UTF-16 that ends within a character")
		}
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = order.Uint16(rest[2*i:])
		}
		data = []byte(string(utf16.Decode(units)))
		break
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data, _ = bytes.CutSuffix(data, []byte("\n"))
	data, _ = bytes.CutSuffix(data, []byte("\r"))
	switch {
	case bytes.IndexByte(data, 0) >= 0:
		return "", errors.New("it holds zero bytes: it is no text, or UTF-16 without a mark; save it as UTF-8")
	case !utf8.Valid(data):
		return "", errors.New("it is not UTF-8: save it as UTF-8")
	case bytes.ContainsAny(data, "\r\n"):
		return "", errors.New("it holds more than one line")
	}
	return string(data), nil
}
