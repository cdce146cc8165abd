package mstrapi

import (
	"net/http"
	"testing"
	"time"
)

// Cookies go back byte for byte, wherever the login's answer said; those that have
// expired do not.
func TestCookiesAreSentAsTheyCame(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		set  []string
		want string
	}{
		{[]string{`ROUTE="a b,c"; Path=/x`, `T=a\b"c; HttpOnly`}, `ROUTE="a b,c"; T=a\b"c`},
		{[]string{`A=1`, `A=2; Path=/M`, `A=3`}, `A=2; A=3`},
		{[]string{`A=1; Path=/M`, `A=; Path=/M; Max-Age=0`, `B=; Path=/`}, `B=`},
		{[]string{`A=1; Expires=Thu, 01-Jan-1970 00:00:00 GMT`, `B=1; Expires=Thu, 01 Jan 2037 00:00:00 GMT`, `C=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT`}, `B=1; C=1`},
		{[]string{"bad", "=x", "A=\x01", "E=a=b=="}, `E=a=b==`},
	}
	for _, test := range tests {
		var cs cookies
		for _, line := range test.set {
			cs.store(http.Header{"Set-Cookie": {line}}, now)
		}
		if got, _ := cs.header(now); got != test.want {
			t.Errorf("after %q: Cookie: %s, want %s", test.set, got, test.want)
		}
	}
}

// A login's cookie without a Path, quoted and with a backslash, goes with every
// request.
func TestLoginCookieWithoutPath(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	const odd = `NODE="a\b c"`
	seen := 0
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == fakePrefix+loginPath {
			w.Header().Add("Set-Cookie", odd)
			return false
		}
		for _, line := range r.Header["Cookie"] {
			if len(line) >= len(odd) && (line[:len(odd)] == odd || line[len(line)-len(odd):] == odd) {
				seen++
			}
		}
		return false
	}
	r := f.reader(t)
	if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil || seen != 1 {
		t.Errorf("Held = %v, the cookie was seen %d times", err, seen)
	}
}
