package mstrapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLockIDOf(t *testing.T) {
	tests := []struct{ comment, want string }{
		{"", ""},
		{"maintenance by Bob", ""},
		{"<LOCKINFO><LOCKID>run 7</LOCKID></LOCKINFO>", "run 7"},
		{`<?xml version="1.0" encoding="UTF-16"?><a><LockId> a &lt;b&gt; </LockId></a>`, "a <b>"},
		{"<x><LOCKID/></x>", ""},
		// Whoever can write into it cannot claim another's id.
		{"<x><LOCKID>mine</LOCKID><LOCKID>yours</LOCKID></x>", ""},
		{"<x><LOCKID>mine<LOCKID>yours</LOCKID></LOCKID></x>", ""},
		{"<x><LOCKID>mine</LOCKID>", ""},
		{"<x><LOCKID>mine</x>", ""},
		{"<x><LOCKID>&unknown;</LOCKID></x>", ""},
		{"<x><LOCKID>" + strings.Repeat("y", MaxLockID+1) + "</LOCKID></x>", ""},
	}
	for _, tt := range tests {
		if got := lockIDOf(tt.comment); got != tt.want {
			t.Errorf("lockIDOf(%q) = %q, want %q", tt.comment, got, tt.want)
		}
	}
}

// What a server tells is never taken for "not locked" unless it says so.
func TestConfigurationLock(t *testing.T) {
	tests := []struct {
		name, answer string
		want         ConfigurationLock
		incomplete   bool
	}{
		{name: "free", answer: `{"lockType":"not_locked"}`, want: ConfigurationLock{Type: NotLocked}},
		{name: "another case", answer: `{"lockType":"NOT_LOCKED","owner":null,"comment":null}`, want: ConfigurationLock{Type: NotLocked}},
		{name: "no type", answer: `{"lockTime":"2026-11-25T22:51:03.000+0000"}`, incomplete: true},
		{name: "empty type", answer: `{"lockType":""}`, incomplete: true},
		{name: "nothing", answer: `null`, incomplete: true},
		{name: "no document", answer: ``, incomplete: true},
		{name: "odd members", answer: `{"lockType":"permanent_individual","lockTime":7,"comment":{"a":1},"machineName":[],"owner":"bob"}`, want: ConfigurationLock{Type: "permanent_individual", Since: licenceTime([]byte("7"))}},
		{name: "all of it", answer: `{"lockType":"temporal_individual","lockTime":"2026-11-25T22:51:03.000+0000","comment":"<c><LOCKID>x</LOCKID></c>","machineName":"web\u0007","owner":{"id":"6c9dfe134d0f8764893b469525e38eb0","name":"Bob"}}`,
			want: ConfigurationLock{TemporalIndividual, "x", "<c><LOCKID>x</LOCKID></c>", licenceTime([]byte(`"2026-11-25T22:51:03.000+0000"`)), "web", "6C9DFE134D0F8764893B469525E38EB0", "Bob"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-MSTR-AuthToken", "token")
				switch {
				case strings.HasSuffix(r.URL.Path, "/auth/login"), strings.HasSuffix(r.URL.Path, "/auth/logout"):
					w.WriteHeader(http.StatusNoContent)
				default:
					_, _ = w.Write([]byte(tt.answer))
				}
			}))
			defer server.Close()
			r, err := OpenReader(t.Context(), Config{URL: server.URL, Username: "u", MaxAttempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close(t.Context())
			got, err := r.ConfigurationLock(t.Context())
			if tt.incomplete != errors.Is(err, ErrIncomplete) || !tt.incomplete && (err != nil || got != tt.want) {
				t.Errorf("ConfigurationLock = %+v, %v, want %+v (incomplete: %v)", got, err, tt.want, tt.incomplete)
			}
		})
	}
}
