package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/examples"
	"privsync/input"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/panics"
)

func newSim(a *app) *cobra.Command {
	var (
		listen, environment, basePath, logFile string
		latency                                = span{zeroOK: true}
		sources                                = newChoice("holder", "parent")
	)
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Serve the simulated MicroStrategy server",
		Long: `Serve a simulated MicroStrategy Library REST API on this machine, to try out
privsync or a policy without a real server. It starts from the embedded example
company, or from --environment FILE, and forgets everything when it ends
(interrupt it to end it).

--source-style chooses which group an inherited privilege is said to come from,
which differs between real servers. --log writes each request as a line of JSON;
passwords and tokens are not in it.`,
		Example: `  privsync sim
  privsync sim --listen 127.0.0.1:0 --environment environment.yaml --latency 20ms --log requests.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := await(a, func() (*mstrtest.Environment, error) { return loadEnvironment(environment) })
			if err != nil {
				return err
			}
			o := mstrtest.Options{PathPrefix: basePath, Latency: latency.value, NoLog: true, NoLedger: true, Gzip: true}
			if sources.value == "parent" {
				o.SourceStyle = mstrtest.Parent
			}
			server, err := await(a, func() (*simulator, error) { return startSimulator(env, o, listen, logFile) })
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s\n", server.url)
			a.say("simulated server; interrupt to stop")
			for _, line := range credentials(env) {
				a.say("  log in as %s", line)
			}
			<-cmd.Context().Done()
			return server.stop()
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&listen, "listen", "127.0.0.1:8282", "serve on this `ADDRESS`; port 0 takes a free one")
	fs.StringVar(&environment, "environment", "", "start from the environment in `FILE` (default: the embedded example)")
	fs.StringVar(&basePath, "base-path", "/MicroStrategyLibrary", "serve the API below this `PATH`")
	fs.StringVar(&logFile, "log", "", "write each request as a line of JSON to `FILE`")
	fs.Var(&latency, "latency", "answer each request after this time")
	fs.Var(&sources, "source-style", "name as an inherited privilege's source its holder or the immediate parent: holder or parent")
	return cmd
}

// maxEnvironment bounds an environment file, in bytes.
const maxEnvironment = 64 << 20

// loadEnvironment reads an environment file; the embedded example for "".
func loadEnvironment(path string) (*mstrtest.Environment, error) {
	var (
		data []byte
		err  error
	)
	if path == "" {
		path = "environment.yaml"
		data, err = examples.Files.ReadFile(path)
	} else {
		data, err = input.Read(path, maxEnvironment)
	}
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	env, err := mstrtest.LoadEnvironment(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return env, nil
}

// simulator is a simulated server that listens.
type simulator struct {
	*mstrtest.Server
	url  string
	http *http.Server
	log  *requestLog
	done chan error
}

// startSimulator serves env at address; logFile, if not empty, gets a line for
// each request. The caller stops it.
func startSimulator(env *mstrtest.Environment, o mstrtest.Options, address, logFile string) (*simulator, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, hinted(fmt.Errorf("simulated server: %w", err), "choose another address with --listen; port 0 takes a free one")
	}
	s := &simulator{Server: mstrtest.NewServer(env, o), done: make(chan error, 1)}
	var handler http.Handler = s.Server
	if logFile != "" {
		f, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("request log: %w", err), listener.Close())
		}
		s.log = &requestLog{w: f}
		handler = s.log.wrap(handler)
	}
	s.url = "http://" + listener.Addr().String() + strings.TrimSuffix(s.PathPrefix(), "/")
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { s.done <- panics.Catch(func() error { return s.http.Serve(listener) }) }()
	return s, nil
}

// stop ends the server and returns what went wrong while it served.
func (s *simulator) stop() error {
	s.Close() // lets go of requests that are made to hang
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	err := <-s.done
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if s.log != nil {
		err = errors.Join(err, s.log.close())
	}
	return err
}

// credentials returns up to three ways to log in, those who may read and change
// privileges first.
func credentials(env *mstrtest.Environment) []string {
	var manager mstrapi.PrivilegeID
	for _, p := range env.Catalogue {
		if p.Name == mstrtest.UserManagerName {
			manager = p.ID
		}
	}
	server := mstrtest.NewServer(env, mstrtest.Options{NoLog: true, NoLedger: true})
	defer server.Close()
	var managers, others []string
	for _, u := range env.Users {
		if u.Disabled {
			continue
		}
		password := "a blank password"
		switch {
		case u.APIToken != "":
			password = fmt.Sprintf("the API token %s", clean.Quote(u.APIToken))
		case u.Password != "":
			password = fmt.Sprintf("the password %s", clean.Quote(u.Password))
		}
		may := false
		for _, p := range server.Effective(u.ID) {
			may = may || p == manager
		}
		line := fmt.Sprintf("%s with %s", render.Clean(u.Login), password)
		if may {
			managers = append(managers, line)
		} else if u.Password != "" {
			others = append(others, line+" (may not read privileges)")
		}
	}
	lines := append(managers, others...)
	return lines[:min(len(lines), 3)]
}

// requestLog writes requests as lines of JSON. The body is kept for PATCH only:
// a login's body holds a password.
type requestLog struct {
	mu  sync.Mutex // guards w and err
	w   io.WriteCloser
	err error
}

// loggedRequest is one line of the log.
type loggedRequest struct {
	Time   time.Time       `json:"time"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// statusRecorder remembers the status that a handler answers with.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (l *requestLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := loggedRequest{Time: time.Now().UTC(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}
		if r.Method == http.MethodPatch {
			const most = 1 << 20
			body, err := io.ReadAll(io.LimitReader(r.Body, most))
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(string(body)), r.Body), r.Body}
			if err == nil && json.Valid(body) {
				line.Body = body
			}
		}
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			line.Status = recorder.status
			l.write(line)
		}()
		next.ServeHTTP(recorder, r)
	})
}

func (l *requestLog) write(line loggedRequest) {
	data, err := json.Marshal(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		_, err = l.w.Write(append(data, '\n'))
	}
	if l.err == nil {
		l.err = err
	}
}

func (l *requestLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.err, l.w.Close()); err != nil {
		return fmt.Errorf("request log: %w", err)
	}
	return nil
}
