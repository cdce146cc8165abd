package mstrapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A cookie opens the session as the token does: a server that sends it back in
// what privsync quotes must not put it into a log.
func TestCookiesAreSecrets(t *testing.T) {
	const (
		long   = "5E55I0N+C00KIE/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef=="
		short  = "n0d3.7"
		quoted = `"two words\and"`
		tiny   = "x7"
	)
	echo := func(how, cookie string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got := r.Header.Get("Cookie")
			switch how {
			case "message":
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"code":"ERR001","message":%q}`, got)
			case "title":
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, "<html><title>%s</title></html>", strings.Repeat("x", 80)+got)
			case "location":
				w.Header().Set("Location", "https://elsewhere.example/"+strings.Repeat("y", 200)+"/"+cookie)
				w.WriteHeader(http.StatusFound)
			case "header":
				w.Header().Set("X-MSTR-Total-Count", cookie)
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, "[]")
			case "json":
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"code":"ERR001","message":"headers {\"JSESSIONID\": \"%s\"}, %s"}`, cookie, url.QueryEscape(got))
			case "error200":
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"code":"ERR001","message":%q,"ticketId":%q}`, got, got)
			case "malformed":
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", cookie)
					conn.Close()
				}
			}
		}
	}
	for _, test := range []struct{ cookie, shows, ways string }{
		{long, long[:shortCookie], "message title location header malformed error200"},
		{short, short, "message title location header malformed json error200"},
		{quoted, "two words", "message title"},
		{tiny, tiny, "message title json error200"},
	} {
		for how := range strings.FieldsSeq(test.ways) {
			mux := http.NewServeMux()
			mux.HandleFunc("POST /api/auth/login", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Set-Cookie", "JSESSIONID="+test.cookie+"; Path=/")
				w.Header().Set("X-MSTR-AuthToken", "token")
				w.WriteHeader(http.StatusNoContent)
			})
			mux.HandleFunc("POST /api/auth/logout", func(http.ResponseWriter, *http.Request) {})
			mux.HandleFunc("GET /api/users", echo(how, test.cookie))
			server := httptest.NewServer(mux)
			var log bytes.Buffer
			r, err := OpenReader(t.Context(), Config{
				URL: server.URL, Username: "u", MaxAttempts: 2, Timeout: time.Second,
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			if err != nil {
				t.Fatal(err)
			}
			// Others that change all the time do not push it out of what is remembered.
			for i := range 3 * keptNames {
				r.c.keepCookies(&http.Response{Header: http.Header{"Set-Cookie": {fmt.Sprintf("visit=%d%d", i, i)}}})
			}
			_, err = r.List(User, Query{}).Page(t.Context(), 0, 10)
			if err == nil {
				t.Fatalf("%s of %s: no error", how, test.cookie)
			}
			if strings.Contains(err.Error()+log.String(), test.shows) || !strings.Contains(err.Error(), redacted) {
				t.Errorf("%s of %s: %v shows the cookie, or does not say that something is left out\n%s", how, test.cookie, err, log.String())
			}
			_ = r.Close(t.Context())
			server.Close()
		}
	}
}

// What is short stays in words that only hold it, and in documents that are still to
// be read.
func TestShortCookies(t *testing.T) {
	c := &client{}
	c.keepCookies(&http.Response{Header: http.Header{"Set-Cookie": {"lang=en", "route=code", "gone=; Max-Age=0"}}})
	for in, want := range map[string]string{
		"when no encoding is known": "when no encoding is known",
		"lang=en; route=code":       "lang=[redacted]; route=[redacted]",
		"lang%3Den":                 "lang%3D[redacted]",
		"en, in the codec of code":  "en, in the codec of [redacted]",
		"lang=ending":               "lang=ending",
	} {
		if got := c.scrub(in); got != want {
			t.Errorf("scrub(%q) = %q, want %q", in, got, want)
		}
	}
	if got := string(c.scrubDocument([]byte(`{"code": "x"}`))); got != `{"code": "x"}` {
		t.Errorf("scrubDocument = %s", got)
	}
}

func TestCutOut(t *testing.T) {
	const secret = "0123456789abcdef"
	for in, want := range map[string]string{
		"a " + secret + " b":      "a [redacted] b",
		"a 0123456789…":           "a [redacted]…",
		"a 0123…":                 "a 0123…",
		"x… 0123456789abc… y 012": "x… [redacted]… y 012",
		secret + secret:           "[redacted][redacted]",
		"":                        "",
	} {
		if got := cutOut(in, secret); got != want {
			t.Errorf("cutOut(%q) = %q, want %q", in, got, want)
		}
	}
}
