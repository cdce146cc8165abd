package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"privsync/examples"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/schema"
)

var update = flag.Bool("update", false, "renew the files that scripts compare with")

func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		// A program under the race detector else waits a second before it exits, and the tests start over a thousand.
		os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	testscript.Main(m, map[string]func(){"privsync": main})
}

// TestScript runs the command's specification. Besides testscript's own
// commands the scripts have:
//
//	server [-tls] [-prefix PATH] [-version V] [-parent] [-queue-error N] [-without-licences] [-no-licence-scan]
//	       [-empty-user-list] [-mixed-licence-keys] [-licence-lag N] [-licence-scan-age D] [FILE]
//	                    start a simulated server and point the variables at it; $URL_BY_NAME spells its URL otherwise
//	exits CODE ARGS…    run privsync and compare the exit code
//	fault KIND [METHOD [PATH [TIMES]]]   make the server misbehave
//	direct user|group NAME [NUMBERS]     compare what is granted there
//	grant|revoke user|group NAME NUMBER  act as another administrator
//	requests FILE       write the server's log: METHOD PATH?QUERY STATUS, and bodies of PATCH
//	writes N            compare the number of requests that could have changed something
//	sessions N          compare the number of sessions that are open
//	valid SCHEMA FILE   check a document with its schema
//	edit FILE OLD NEW   replace text in a file
//	reseal FILE         put a right digest on a document that was edited
//	mode MODE FILE      compare a file's permissions
//	serverlock TEXT|none         compare the id of the server's lock
//	lockserver ID LOGIN [N ID]   lock the server as another administrator; with the N-th question for it
//	                             the id becomes another one; an empty ID unlocks
//	lastline TEXT       compare the start of the last line on stderr
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scriptParams("script"))
}

// scriptParams are those of the scripts in a folder of testdata.
func scriptParams(folder string) testscript.Params {
	return testscript.Params{
		Dir:                 filepath.Join("testdata", folder),
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "xdg-state"))
			env.Setenv("NO_PROXY", "*")
			env.Values[worldKey{}] = &world{}
			return os.CopyFS(filepath.Join(env.WorkDir, "examples"), examples.Files)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server": startServer, "exits": exits0, "fault": injectFault, "direct": compareDirect, "grant": actGrant, "revoke": actRevoke,
			"requests": writeRequests, "writes": countWrites, "sessions": countSessions, "valid": checkDocument,
			"edit": editFile, "reseal": resealFile, "mode": checkMode, "lastline": compareLastLine,
			"serverlock": compareServerLock, "lockserver": lockServer,
		},
	}
}

// world is what a script has started.
type world struct {
	server *mstrtest.Server
	env    *mstrtest.Environment
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world {
	w := ts.Value(worldKey{}).(*world)
	if w.server == nil {
		ts.Fatalf("start a server first")
	}
	return w
}

func startServer(ts *testscript.TestScript, _ bool, args []string) {
	var o mstrtest.Options
	secure := false
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.BoolVar(&secure, "tls", false, "")
	fs.StringVar(&o.PathPrefix, "prefix", "", "")
	fs.StringVar(&o.IServerVersion, "version", "", "")
	fs.IntVar(&o.QueueError, "queue-error", 0, "")
	fs.BoolVar(&o.QueueEndless, "queue-endless", false, "")
	fs.IntVar(&o.LicenceLag, "licence-lag", 0, "")
	fs.DurationVar(&o.LicenceScanAge, "licence-scan-age", 0, "")
	fs.BoolVar(&o.NoLicenceScan, "no-licence-scan", false, "")
	fs.BoolVar(&o.Quirks.MixedLicenceKeys, "mixed-licence-keys", false, "")
	fs.BoolVar(&o.Quirks.EmptyUserList, "empty-user-list", false, "")
	unlicensed := fs.Bool("without-licences", false, "")
	parent := fs.Bool("parent", false, "")
	unlockable := fs.Bool("without-lock", false, "")
	fs.IntVar(&o.Quirks.LockedStatus, "locked-status", 0, "")
	fs.DurationVar(&o.Quirks.LockLinger, "lock-linger", 0, "")
	fs.BoolVar(&o.Quirks.NoLockComment, "no-lock-comment", false, "")
	fs.BoolVar(&o.Quirks.PlainLockComment, "plain-lock-comment", false, "")
	fs.Func("needs", "", func(pair string) error {
		var e mstrtest.SideEffect
		e.Needs = make([]mstrapi.PrivilegeID, 1)
		_, err := fmt.Sscanf(pair, "%d:%d", &e.Privilege, &e.Needs[0])
		o.Quirks.SideEffects = append(o.Quirks.SideEffects, e)
		return err
	})
	fs.Func("ghost", "", func(id string) error {
		o.Quirks.Ghosts = append(o.Quirks.Ghosts, mstrapi.ObjectID(id))
		return nil
	})
	ts.Check(fs.Parse(args))
	if *parent {
		o.SourceStyle = mstrtest.Parent
	}
	if *unlicensed {
		o.Quirks.Without = []mstrtest.Endpoint{
			mstrtest.LicencePrivileges, mstrtest.StartCompliance, mstrtest.ComplianceStatus, mstrtest.ComplianceResult,
		}
	}
	if *unlockable {
		o.Quirks.Without = append(o.Quirks.Without, mstrtest.GetLock, mstrtest.PutLock, mstrtest.DeleteLock)
	}
	file := ""
	if fs.NArg() > 0 {
		file = ts.MkAbs(fs.Arg(0))
	}
	env, err := loadEnvironment(file)
	ts.Check(err)
	w := ts.Value(worldKey{}).(*world)
	w.env, w.server = env, mstrtest.NewServer(env, o)
	listener := httptest.NewUnstartedServer(w.server)
	if secure {
		listener.StartTLS()
		listener.Config.ErrorLog = nil
	} else {
		listener.Start()
	}
	ts.Defer(func() { w.server.Close(); listener.Close() })
	if secure {
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), pemOf(listener), 0o600))
	}
	ts.Setenv("PRIVSYNC_URL", listener.URL+w.server.PathPrefix())
	ts.Setenv("URL_BY_NAME", strings.Replace(listener.URL, "127.0.0.1", "localhost", 1)+w.server.PathPrefix())
	ts.Setenv("PRIVSYNC_USERNAME", mstrtest.ServiceLogin)
	ts.Setenv("PRIVSYNC_PASSWORD", mstrtest.ServicePassword)
	ts.Setenv("PRIVSYNC_RATE", "0")
}

func exits0(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("privsync", args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func injectFault(ts *testscript.TestScript, _ bool, args []string) {
	f := mstrtest.Fault{Kind: mstrtest.FaultKind(args[0])}
	if len(args) > 1 {
		f.Method = args[1]
	}
	if len(args) > 2 {
		f.Path = args[2]
	}
	if len(args) > 3 {
		var err error
		f.Times, err = strconv.Atoi(args[3])
		ts.Check(err)
	}
	ts.Check(worldOf(ts).server.Inject(f))
}

// id finds a principal of the environment.
func (w *world) id(ts *testscript.TestScript, kind, name string) mstrapi.ObjectID {
	if kind == "user" {
		for _, u := range w.env.Users {
			if u.Login == name {
				return u.ID
			}
		}
	}
	for _, g := range w.env.Groups {
		if kind == "group" && g.Name == name {
			return g.ID
		}
	}
	ts.Fatalf("the environment has no %s %q", kind, name)
	return ""
}

func numbers(ts *testscript.TestScript, text string) []mstrapi.PrivilegeID {
	var ids []mstrapi.PrivilegeID
	for _, part := range strings.Fields(strings.ReplaceAll(text, ",", " ")) {
		n, err := strconv.Atoi(part)
		ts.Check(err)
		ids = append(ids, mstrapi.PrivilegeID(n))
	}
	return ids
}

func compareDirect(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	want := numbers(ts, strings.Join(args[2:], " "))
	got := w.server.Direct(w.id(ts, args[0], args[1]))
	if slices.Equal(got, want) == neg {
		ts.Fatalf("direct grants of %s %s = %v, want %v (negated: %v)", args[0], args[1], got, want, neg)
	}
}

func actGrant(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	ts.Check(w.server.Grant(w.id(ts, args[0], args[1]), numbers(ts, args[2])...))
}

func actRevoke(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	ts.Check(w.server.Revoke(w.id(ts, args[0], args[1]), numbers(ts, args[2])...))
}

func writeRequests(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	for _, r := range worldOf(ts).server.Log() {
		query := ""
		if r.Query != "" {
			query = "?" + r.Query
		}
		fmt.Fprintf(&b, "%s %s%s %d\n", r.Method, r.Path, query, r.Status)
		if r.Body != "" {
			fmt.Fprintf(&b, "%s\n", r.Body)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

func countWrites(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, r := range worldOf(ts).server.Log() {
		switch {
		case r.Method == "GET", r.Endpoint == mstrtest.Login, r.Endpoint == mstrtest.Logout:
		default:
			n++
		}
	}
	if want, err := strconv.Atoi(args[0]); err != nil || n != want {
		ts.Fatalf("%d requests other than GET, login and logout, want %s", n, args[0])
	}
}

func countSessions(ts *testscript.TestScript, _ bool, args []string) {
	if got := worldOf(ts).server.OpenSessions(); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%d sessions are open, want %s", got, args[0])
	}
}

func compareServerLock(ts *testscript.TestScript, neg bool, args []string) {
	got := "none"
	if l := worldOf(ts).server.Lock(); l != nil {
		got = l.ID
	}
	if (got == args[0]) == neg {
		ts.Fatalf("the server's lock is %q, want %q (negated: %v)", got, args[0], neg)
	}
}

func lockServer(ts *testscript.TestScript, _ bool, args []string) {
	server := worldOf(ts).server
	set := func(id string) error {
		if id == "" {
			return server.SetLock(nil)
		}
		return server.SetLock(&mstrtest.Lock{ID: id, Owner: args[1], Machine: "admin-pc"})
	}
	ts.Check(set(args[0]))
	if len(args) > 2 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		var asked atomic.Int64
		server.OnRequest(func(_ int, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/iserver/lock") && asked.Add(1) == int64(n) {
				_ = set(args[3]) // the owner is one, as above
			}
		})
	}
}

func checkDocument(ts *testscript.TestScript, neg bool, args []string) {
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &doc))
	if err := schema.Validate(args[0], doc); (err != nil) != neg {
		ts.Fatalf("%s by the schema of a %s: %v", args[1], args[0], err)
	}
}

func editFile(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("mode of %s = %s, want %s", args[1], got, args[0])
	}
}

func compareLastLine(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimRight(ts.ReadFile("stderr"), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, args[0]) {
		ts.Fatalf("the last line on stderr is %q, want %q…", last, args[0])
	}
}
