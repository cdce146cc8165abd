package main

import (
	"errors"
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

// Documents in UTF-16 are named as such with and without a mark.
func TestDocumentsInUTF16(t *testing.T) {
	for name, text := range map[string]string{
		"little-endian, marked": "\xff\xfe{\x00}\x00", "big-endian, marked": "\xfe\xff\x00{\x00}",
		"little-endian": "{\x00}\x00", "big-endian": "\x00{\x00}",
	} {
		if _, err := withoutMark([]byte(text)); !errors.Is(err, errUTF16) {
			t.Errorf("%s: %v, want errUTF16", name, err)
		}
	}
	for _, text := range []string{"", "{", "{}", "\xef\xbb\xbf{}"} {
		if got, err := withoutMark([]byte(text)); err != nil || string(got) != strings.TrimPrefix(text, "\xef\xbb\xbf") {
			t.Errorf("withoutMark(%q) = %q, %v", text, got, err)
		}
	}
}
