package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// Each refusal of a login has a hint of its own, and none that cannot help there.
func TestRefusedLoginsHaveTheirHints(t *testing.T) {
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	server, good := serve(t, env, mstrtest.Options{})
	const maintenance = "<html><head><title>Down for maintenance until 06:00</title></head></html>"
	for _, c := range []struct {
		name    string
		status  int
		code    string // empty: message is the whole body
		message string
		says    string
		hint    string
	}{
		{"wrong password", 401, "ERR003", "Incorrect login/password. Please try again.", "ERR003", "check the user name, the password and --login-mode"},
		{"LDAP", 500, "ERR002", "LDAP authentication is not configured on the Intelligence Server.", "LDAP", "use --login-mode standard"},
		{"licence", 403, "ERR002", "You do not have a license to use this product.", "license", "License Manager"},
		{"locked", 401, "ERR003", "Your account is locked. Contact your administrator.", "locked", "have an administrator unlock it"},
		{"expired", 401, "ERR003", "Your password has expired and must be changed.", "expired", "change its password"},
		{"disabled", 403, "ERR003", "The user account is disabled.", "disabled", "enable the account"},
		{"sessions", 500, "ERR002", "The maximum number of sessions is open.", "maximum number", "raise the limit of sessions"},
		{"away", 500, "ERR0013", "The Intelligence Server is not reachable.", "ERR0013", "the Intelligence Server behind it does not"},
		{"gateway", 403, "", "<html><title>Request rejected</title></html>", "Request rejected", "gateway or a firewall"},
		{"maintenance", 200, "", maintenance, "Down for maintenance until 06:00", "when its maintenance is over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/auth/login") {
					server.ServeHTTP(w, r)
					return
				}
				if c.code == "" {
					w.Header().Set("Content-Type", "text/html")
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.message)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_ = json.NewEncoder(w).Encode(map[string]any{"code": c.code, "message": c.message, "ticketId": "t1"})
			}))
			t.Cleanup(front.Close)
			set := maps.Clone(good)
			set["PRIVSYNC_URL"] = front.URL + server.PathPrefix()
			code, _, stderr := invoke(t, set, "privileges", "--max-attempts", "1")
			message, hint, _ := strings.Cut(stderr, "hint: ")
			if code != executor.ExitError || !strings.Contains(message, c.says) || !strings.Contains(hint, c.hint) {
				t.Errorf("exit code %d, want %q and the hint %q in\n%s", code, c.says, c.hint, stderr)
			}
			for text, where := range map[string]string{"--url": "", "limit of sessions": "sessions", "--login-mode": "wrong password LDAP"} {
				if strings.Contains(hint, text) && !strings.Contains(where, c.name) {
					t.Errorf("the hint says %q, which cannot help: %s", text, hint)
				}
			}
		})
	}
}

// An address that answered before is right: then no hint sends anybody to --url.
func TestHintsDuringARun(t *testing.T) {
	for _, err := range []error{
		&net.DNSError{Name: "bi.example.com", IsNotFound: true}, fmt.Errorf("dial: %w", syscall.ECONNREFUSED), mstrapi.ErrIncomplete,
	} {
		first := hintFor(&mstrapi.Error{Method: "POST", Path: "/api/auth/login", Err: err})
		later := hintFor(&mstrapi.Error{Method: "GET", Path: "/api/users", Err: err})
		if !strings.Contains(first, "--url") || later == "" || strings.Contains(later, "--url") {
			t.Errorf("%v: first %q, later %q", err, first, later)
		}
	}
}

// Another try reads as little of an answer that is larger than what is read.
func TestHintOfAnAnswerThatIsTooLarge(t *testing.T) {
	got := hintFor(&mstrapi.Error{Method: "GET", Path: "/api/users/X/privileges", Status: 200, Err: mstrapi.ErrTooLarge})
	if !strings.Contains(got, "--max-answer") || strings.Contains(got, "again") {
		t.Errorf("hint: %q", got)
	}
	unread := &executor.Result{Outcome: executor.UnknownState, Error: &executor.Error{Status: 200}}
	for _, command := range []string{"apply", "audit"} {
		report := &executor.Report{}
		report.Run.Command = command
		if got := whatToDo(report, unread); !strings.Contains(got, "the error says why") {
			t.Errorf("what to do after %s: %q", command, got)
		}
	}
}

// "Apply again" is said where another apply can do more.
func TestReportHint(t *testing.T) {
	result := func(o executor.Outcome, status int) executor.Result {
		r := executor.Result{Outcome: o}
		if status != 0 {
			r.Error = &executor.Error{Status: status}
		}
		return r
	}
	for _, c := range []struct {
		name    string
		results []executor.Result
		err     *executor.Error
		command executor.CommandOutcome
		want    string
		again   bool
	}{
		{"a lost answer", []executor.Result{result(executor.Failed, 0)}, nil, "", "", true},
		{"a server error", []executor.Result{result(executor.Failed, 500)}, nil, "", "", true},
		{"unverified", []executor.Result{result(executor.Applied, 0), result(executor.Unverified, 0)}, nil, "", "", true},
		{"forbidden", []executor.Result{result(executor.Failed, 403)}, nil, "", "privsync doctor", false},
		{"forbidden and a rest", []executor.Result{result(executor.Failed, 403), result(executor.NotAttempted, 0)}, nil, "", "refuse again", true},
		{"stale", []executor.Result{result(executor.Stale, 0)}, nil, "", "plan again", false},
		{"away", []executor.Result{result(executor.NotAttempted, 0)}, &executor.Error{Code: executor.CodeUnreachable}, "", "see that the server answers", true},
		{"a command", nil, nil, executor.CommandTimedOut, "", true},
		{"findings alone", []executor.Result{result(executor.Applied, 0)}, nil, "", "correct the policy or the server", false},
	} {
		report := &executor.Report{Principals: c.results, Error: c.err}
		if c.command != "" {
			report.Commands = []executor.CommandResult{{Outcome: c.command}}
		}
		if got := reportHint(report); strings.Contains(got, "apply again") != c.again || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
