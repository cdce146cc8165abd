package main

import (
	"strings"
	"testing"
)

// TestPlainSecret: whatever editor wrote the file, the password is what a person sees
// in it, or the file is refused.
func TestPlainSecret(t *testing.T) {
	for in, want := range map[string]string{
		"secret":                            "secret",
		"secret\n":                          "secret",
		"secret\r\n":                        "secret",
		"\xef\xbb\xbfsecret\r\n":            "secret",
		"\xff\xfes\x00\xe9\x00\r\x00\n\x00": "s\u00e9",
		"\xfe\xff\x00s\x00e":                "se",
		" two words ":                       " two words ",
		"":                                  "",
	} {
		if got, err := plainSecret([]byte(in)); err != nil || got != want {
			t.Errorf("plainSecret(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"a\nb": "more than one line", "a\rb\n": "more than one line", "s\x00e\x00": "zero bytes", "s\xe9": "not UTF-8", "\xff\xfes": "UTF-16",
	} {
		if got, err := plainSecret([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("plainSecret(%q) = %q, %v, want an error with %q", in, got, err, want)
		}
	}
}
