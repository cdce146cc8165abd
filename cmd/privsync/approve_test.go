package main

import (
	"crypto/sha512"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"privsync/signature"
)

// What is signed, or what a signature is held against, are the bytes that were read
// and shown, whatever the file holds by then.
func TestWithSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(path, []byte("as it was shown"), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(io.Reader) error { return nil }
	some := func(r io.Reader) error { _, err := io.ReadFull(r, make([]byte, 3)); return err }
	why := errors.New("why")
	for name, c := range map[string]struct {
		sum  [sha512.Size]byte
		path string
		f    func(io.Reader) error
		want error
	}{
		"the same":       {sha512.Sum512([]byte("as it was shown")), path, nothing, nil},
		"read in part":   {sha512.Sum512([]byte("as it was shown")), path, some, nil},
		"f says no":      {sha512.Sum512([]byte("as it was shown")), path, func(io.Reader) error { return why }, why},
		"changed":        {sha512.Sum512([]byte("as it was before")), path, nothing, errPlanChanged},
		"changed, f no":  {sha512.Sum512([]byte("as it was before")), path, func(io.Reader) error { return why }, errPlanChanged},
		"longer by then": {sha512.Sum512([]byte("as it was")), path, nothing, errPlanChanged},
		"gone":           {sha512.Sum512(nil), path + ".gone", nothing, signature.ErrMessage},
	} {
		if err := withSame(c.path, c.sum, c.f); !errors.Is(err, c.want) {
			t.Errorf("%s: withSame = %v, want %v", name, err, c.want)
		}
	}
}

func TestMakerOfCI(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		want       string
	}{
		{"nobody", "", nil, ""},
		{"GitHub", "", map[string]string{"GITHUB_ACTOR": "octocat", "GITHUB_TRIGGERING_ACTOR": "hubot"}, "octocat,hubot"},
		{"GitLab", "", map[string]string{"GITLAB_USER_LOGIN": "al", "GITLAB_USER_EMAIL": "al@example.com"}, "al,al@example.com"},
		{"Azure", "", map[string]string{"BUILD_REQUESTEDFOR": "Smith, Al", "BUILD_REQUESTEDFOREMAIL": "al@example.com"}, "al@example.com,Smith  Al"},
		{"Jenkins", "", map[string]string{"CHANGE_AUTHOR": "al", "BUILD_USER_ID": "al"}, "al"},
		{"the flag", " bob , bob@example.com,", map[string]string{"GITHUB_ACTOR": "octocat"}, "bob,bob@example.com"},
	} {
		a := &app{env: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
		if got := (&makerFlag{c.flag}).of(a); got != c.want {
			t.Errorf("%s: maker = %q, want %q", c.name, got, c.want)
		}
	}
}
