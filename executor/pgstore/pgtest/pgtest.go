// Package pgtest starts a real PostgreSQL for tests: Debian's, with a data folder of its
// own, as an ordinary user, on a socket in a temporary folder.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Require is the variable that forbids to do without PostgreSQL.
const Require = "PRIVSYNC_REQUIRE_POSTGRES"

// ErrMissing is matched by the error of [Start] where there is no PostgreSQL.
var ErrMissing = errors.New("no PostgreSQL in /usr/lib/postgresql: the tests of the store in it need Debian's package postgresql")

// Server is a server that was started. Its superuser is postgres; everybody is let in,
// but for the role guarded, which has the password in [Server.Password].
type Server struct {
	Password string

	dir  string
	port int
	cmd  *exec.Cmd
	log  *bytes.Buffer
	made atomic.Int64
}

// Start starts a server, with settings like "fsync=on"; the caller stops it. Where [Require] is not set and there is no
// PostgreSQL the error matches [ErrMissing].
func Start(settings ...string) (*Server, error) {
	return start(func(*Server) ([]string, error) { return settings, nil })
}

func start(settings func(*Server) ([]string, error)) (*Server, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bins) == 0 {
		if os.Getenv(Require) != "" {
			return nil, fmt.Errorf("%s is set: there is no PostgreSQL in /usr/lib/postgresql", Require)
		}
		return nil, ErrMissing
	}
	version := func(path string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(path))), 64) // 0 for what is no version
		return v
	}
	bin := filepath.Dir(slices.MaxFunc(bins, func(a, b string) int { return int(10 * (version(a) - version(b))) }))
	// The path of a socket may have some hundred bytes only.
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{Password: "pw-3f9c", dir: dir, port: 5432, log: new(bytes.Buffer)}
	if err := s.start(bin, settings); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log)
	}
	return s, nil
}

// StartTLS starts a server that listens on a port of this machine as well, and lets nobody in
// there without TLS. Certificate and key are PEM.
func StartTLS(cert, key []byte) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	return start(func(s *Server) ([]string, error) {
		s.port = port
		// The key is read by PostgreSQL's user alone.
		owner, err := os.Stat(s.dir)
		if err != nil {
			return nil, err
		}
		for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
			path := filepath.Join(s.dir, name)
			id := owner.Sys().(*syscall.Stat_t)
			if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chown(path, int(id.Uid), int(id.Gid))); err != nil {
				return nil, err
			}
		}
		return []string{
			"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "ssl=on",
			"ssl_cert_file=" + filepath.Join(s.dir, "cert.pem"), "ssl_key_file=" + filepath.Join(s.dir, "key.pem"),
		}, nil
	})
}

// Host returns the URL of a database for a role, by TCP to a name of this machine.
func (s *Server) Host(host, role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: net.JoinHostPort(host, strconv.Itoa(s.port)), Path: "/" + database}
	return u.String()
}

// command returns a command of PostgreSQL, which refuses to run as root.
func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if os.Geteuid() != 0 {
		return cmd, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return cmd, errors.Join(os.Chown(s.dir, uid, gid), os.Chmod(s.dir, 0o755))
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no other user")
}

func (s *Server) start(bin string, settings func(*Server) ([]string, error)) error {
	data := filepath.Join(s.dir, "data")
	cmd, err := s.command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if err == nil {
		err = cmd.Run()
	}
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	more, err := settings(s)
	if err != nil {
		return err
	}
	hba := "local all guarded scram-sha-256\nlocal all all trust\nhostssl all all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return err
	}
	args := []string{"-D", data, "-k", s.dir}
	for _, setting := range append([]string{"listen_addresses=", "fsync=off", "max_connections=200", "shared_buffers=32MB", "autovacuum=off"}, more...) {
		args = append(args, "-c", setting)
	}
	if s.cmd, err = s.command(filepath.Join(bin, "postgres"), args...); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	// The server says that it is ready in a file.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if strings.Contains(string(text), "\nready") {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("PostgreSQL does not get ready")
		}
	}
}

// Socket returns the path of the socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL."+strconv.Itoa(s.port)) }

// URL returns the URL of a database for a role.
func (s *Server) URL(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}}.Encode()}
	return u.String()
}

// Name returns a name for a database that no other test has.
func (s *Server) Name() string { return fmt.Sprintf("t%d", s.made.Add(1)) }

// Stop ends the server and removes what it left.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once, whoever is connected
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}
