package mstrapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"
)

func TestErrorBodies(t *testing.T) {
	long := strings.Repeat("é", 5000)
	tests := []struct {
		name, body string
		want       Error
	}{
		{"plain", `{"code":"ERR006","message":"Bad input","ticketId":"T1","iServerCode":-2147214568}`, Error{Code: "ERR006", Message: "Bad input", TicketID: "T1", IServerCode: -2147214568}},
		{"spelling of the sample", `{"code":"ERR017","IserverCode":-2147214568,"message":"x","ticketId":"t"}`, Error{Code: "ERR017", Message: "x", TicketID: "t", IServerCode: -2147214568}},
		{"wrapped", `{"errors":[{"code":"ERR001","message":"x"},{"code":"ERR002","message":"y"}]}`, Error{Code: "ERR001", Message: "x"}},
		{"sub errors", `{"code":"ERR002","message":"Several.","subErrors":[{"code":"ERR006","message":"the first"}]}`, Error{Code: "ERR002", Message: "Several: the first"}},
		{"numbers and strings", `{"code":42,"message":null,"iServerCode":"-2147206497"}`, Error{Code: "42", IServerCode: iServerTimeout}},
		{"absurd iServerCode", `{"code":"ERR001","message":"x","iServerCode":1e300}`, Error{Code: "ERR001", Message: "x"}},
		{"empty", ``, Error{Message: "empty answer"}},
		{"page", "\n<!doctype html><TITLE>502 Bad\n Gateway</TITLE>", Error{Message: "an HTML page: 502 Bad Gateway"}},
		{"page without title", `<html>`, Error{Message: "an HTML page"}},
		{"text", "upstream\x1b[31m is\u2028 down\x00\xff", Error{Message: "upstream [31m is down \ufffd"}},
		{"other JSON", `{"status":500}`, Error{Message: "JSON of an unknown shape"}},
		{"list", `[]`, Error{Message: "JSON of an unknown shape"}},
		{"nested for ever", strings.Repeat(`{"errors":[`, 50) + strings.Repeat(`]}`, 50), Error{Message: "JSON of an unknown shape"}},
		{"control characters", `{"code":"ERR\u0000 001","message":"a\u001b[2J\r\nb\u0085c","ticketId":"x\ny"}`, Error{Code: "ERR 001", Message: "a [2J b c", TicketID: "x y"}},
		{"secret echoed", `{"code":"ERR003","message":"user administrator, password pass-word-1"}`, Error{Code: "ERR003", Message: "user administrator, password [redacted]"}},
		{"secret echoed in escapes", `{"code":"ERR003","message":"p\u0061ss-word-1"}`, Error{Code: "ERR003", Message: "[redacted]"}},
	}
	f := newFake(t)
	body := ""
	f.handle("GET /api/users/{id}/privileges", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		w.Write([]byte(body))
	})
	// One of the bodies is worth another try.
	r := f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
	ask := func() *Error {
		_, err := r.Held(t.Context(), User, demoUser, LevelServer)
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Method != "GET" || !strings.HasPrefix(e.Path, "/api/users/") {
			t.Fatalf("Held = %v", err)
		}
		return e
	}
	for _, test := range tests {
		body = test.body
		e := ask()
		got := Error{Code: e.Code, Message: e.Message, TicketID: e.TicketID, IServerCode: e.IServerCode}
		if got != test.want {
			t.Errorf("%s: error %+v, want %+v", test.name, got, test.want)
		}
	}
	for _, body = range []string{long, fmt.Sprintf(`{"code":%q,"message":%q,"ticketId":%q}`, long, long, long)} {
		if e := ask(); len(e.Error()) > messageLimit+512 || !utf8.ValidString(e.Error()) {
			t.Errorf("the error of a long body has %d bytes", len(e.Error()))
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Method: "PATCH", Path: "/api/users/X", Status: 403, Code: "ERR017", IServerCode: -5, Message: "no", TicketID: "t1", Err: errors.New("why")}
	if got, want := e.Error(), "PATCH /api/users/X: HTTP 403 ERR017 (iServerCode -5): no: why [ticket t1]"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestErrorKinds(t *testing.T) {
	tests := []struct {
		err                                         error
		notFound, route, forbidden, auth, mayBeDone bool
	}{
		{err: nil},
		{err: errors.New("x"), mayBeDone: true},
		{err: &Error{Status: 404, Code: "ERR004", Message: "The object was not found"}, notFound: true},
		{err: fmt.Errorf("user x: %w", &Error{Status: 404, Code: "ERR004"}), notFound: true},
		{err: &Error{Status: 404, Code: "ERR004", Message: "HTTP 404 Not Found"}, route: true},
		{err: &Error{Status: 404, Message: "an HTML page"}},
		{err: &Error{Status: 405, Code: "ERR001"}, route: true},
		{err: &Error{Status: 403}, forbidden: true},
		{err: &Error{Status: 400, Code: "ERR014"}, forbidden: true},
		{err: &Error{Status: 400, Code: "ERR0014"}, forbidden: true},
		{err: &Error{Status: 500, Code: "ERR0017"}, forbidden: true, mayBeDone: true},
		{err: &Error{Status: 400, Code: "err17"}, forbidden: true},
		{err: &Error{Status: 400, Code: "ERR117"}},
		{err: &Error{Status: 400, Code: "ERR-14"}},
		{err: &Error{Status: 200, Code: "ERR014"}, mayBeDone: true},
		{err: &Error{Status: 401, Code: "ERR003"}, auth: true},
		{err: &Error{Unsent: true, Err: &Error{Status: 401}}, auth: true},
		{err: &Error{Err: errReset}, mayBeDone: true},
		{err: &Error{Status: 408}, mayBeDone: true},
		{err: &Error{Status: 429, Unsent: true}},
		{err: &Error{Status: 302}, mayBeDone: true},
		{err: &Error{Status: 400, IServerCode: iServerTimeout}, mayBeDone: true},
	}
	for _, test := range tests {
		got := []bool{IsNotFound(test.err), IsRouteMissing(test.err), IsForbidden(test.err), IsAuth(test.err), OutcomeUnknown(test.err)}
		want := []bool{test.notFound, test.route, test.forbidden, test.auth, test.mayBeDone}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("not found, route missing, forbidden, auth, outcome unknown of %v = %t, want %t", test.err, got, want)
		}
	}
}

func TestPatchBodies(t *testing.T) {
	tests := []struct {
		patch PrivilegePatch
		want  string
	}{
		{PrivilegePatch{Add: []PrivilegeID{2, 54}, Remove: []PrivilegeID{53}}, `{"operationList":[{"op":"add","path":"/privileges","value":[2,54]},{"op":"remove","path":"/privileges","value":[53]}]}`},
		{PrivilegePatch{Add: []PrivilegeID{2}}, `{"operationList":[{"op":"add","path":"/privileges","value":[2]}]}`},
		{PrivilegePatch{Remove: []PrivilegeID{53}, Comment: `a "b" <c>`}, `{"operationList":[{"op":"remove","path":"/privileges","value":[53]},{"op":"add","path":"/changeJournal/userComments","value":"a \"b\" <c>"}]}`},
	}
	f := newFake(t)
	sampleServer(f)
	w := f.writer(t)
	for _, test := range tests {
		for kind, path := range map[Kind]string{User: "/api/users/", Group: "/api/usergroups/"} {
			if err := w.PatchPrivileges(t.Context(), kind, demoUser, test.patch); err != nil {
				t.Fatal(err)
			}
			log := f.requests()
			if got, want := log[len(log)-1], "PATCH "+path+string(demoUser)+"?fields=id"; got != want {
				t.Errorf("sent %s, want %s", got, want)
			}
			if got := f.bodies[len(f.bodies)-1]; got != test.want {
				t.Errorf("sent %s, want %s", got, test.want)
			}
		}
	}
}

// A write is sent again only when the server surely did not act.
func TestWritesAreRepeatedWhenUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		w := f.writer(t)
		if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Fatal(err)
		}
		f.inject("PATCH", status(429), broken(errDial), func(w http.ResponseWriter, r *http.Request) {
			f.kill()
			apiError(w, 401, "ERR009", "gone")
		})
		if err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil {
			t.Errorf("PatchPrivileges = %v", err)
		}
		if n := f.count("PATCH"); n != 4 {
			t.Errorf("%d attempts, want 4", n)
		}
		f.inject("POST /api/iserver", body(`{"link":{"href":"/elsewhere/1"}}`))
		if _, err := w.SubmitCommand(t.Context(), 1); !OutcomeUnknown(err) || !errors.Is(err, ErrIncomplete) {
			t.Errorf("SubmitCommand = %v, want an unknown outcome", err)
		}
	})
}

func TestSupportsComment(t *testing.T) {
	tests := []struct {
		kind    Kind
		version string
		want    bool
	}{
		{User, "11.5.0900.0000", true}, {User, "11.5.0899", false}, {Group, "11.5.0900", false}, {Group, "11.5.1100.7", true},
		{User, "11.4.1200", false}, {User, "11.10.0100", true}, {Group, "12.0.0000", true}, {User, "11.4.0000…", false},
		{User, "", false}, {User, "11.5", false}, {User, "eleven.5.0900", false}, {User, "11.5.0900beta", true},
	}
	for _, test := range tests {
		if got := SupportsComment(test.kind, test.version); got != test.want {
			t.Errorf("SupportsComment(%s, %q) = %t", test.kind, test.version, got)
		}
	}
}
