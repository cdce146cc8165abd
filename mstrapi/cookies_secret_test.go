package mstrapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A cookie opens the session as the token does: a server that sends it back in
// what privsync quotes must not put it into a log.
func TestCookiesAreSecrets(t *testing.T) {
	const cookie = "5E55I0N+C00KIE/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef=="
	echo := func(how string) http.HandlerFunc {
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
			case "malformed header":
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", cookie)
					conn.Close()
				}
			}
		}
	}
	for _, how := range []string{"message", "title", "location", "header", "malformed header"} {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /api/auth/login", func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: cookie, Path: "/"})
			w.Header().Set("X-MSTR-AuthToken", "token")
			w.WriteHeader(http.StatusNoContent)
		})
		mux.HandleFunc("POST /api/auth/logout", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("GET /api/users", echo(how))
		server := httptest.NewServer(mux)
		var log bytes.Buffer
		r, err := OpenReader(t.Context(), Config{
			URL: server.URL, Username: "u", MaxAttempts: 2, Timeout: time.Second,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.ListPage(t.Context(), User, Query{}, 0, 10)
		if err == nil {
			t.Fatalf("%s: no error", how)
		}
		if strings.Contains(err.Error()+log.String(), cookie[:shortCookie]) || !strings.Contains(err.Error(), redacted) {
			t.Errorf("%s: %v shows the cookie, or does not say that something is left out\n%s", how, err, log.String())
		}
		_ = r.Close(t.Context())
		server.Close()
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
