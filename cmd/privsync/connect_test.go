package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"privsync/mstrapi"
	"privsync/policy"
)

// testApp returns an app whose stderr can be read and whose environment is env.
func testApp(env map[string]string) (*app, *bytes.Buffer) {
	var stderr bytes.Buffer
	a := &app{
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: &sharedWriter{w: &stderr}, now: time.Now,
		env:       func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		logFormat: newChoice("text", "json"), logLevel: newChoice("info", "debug"),
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, nil))
	return a, &stderr
}

// configure resolves a command line, variables and a policy's section.
func configure(t *testing.T, args []string, env map[string]string, fallback policy.Environment) (mstrapi.Config, string, error) {
	t.Helper()
	a, stderr := testApp(env)
	var c connectionFlags
	cmd := &cobra.Command{Use: "test"}
	c.register(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		return mstrapi.Config{}, "", err
	}
	if err := readVariables(cmd.Flags(), a.env); err != nil {
		return mstrapi.Config{}, "", err
	}
	cfg, err := c.config(a, fallback)
	cfg.Logger, cfg.UserAgent = nil, ""
	return cfg, stderr.String(), err
}

func writeFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigPrecedence(t *testing.T) {
	const password = "PRIVSYNC_PASSWORD"
	section := policy.Environment{URL: "https://policy/M", LoginMode: "ldap"}
	defaults := mstrapi.Config{LoginMode: mstrapi.Standard, Concurrency: 8, Rate: 200, Timeout: 30 * time.Second, MaxAttempts: 6, MaxAnswer: mstrapi.DefaultMaxAnswer}
	with := func(change func(*mstrapi.Config)) mstrapi.Config {
		c := defaults
		change(&c)
		return c
	}
	tests := []struct {
		name     string
		args     []string
		env      map[string]string
		fallback policy.Environment
		want     mstrapi.Config
	}{
		{
			name: "defaults",
			args: []string{"--url", "https://flag/M", "--username", "u"}, env: map[string]string{password: ""},
			want: with(func(c *mstrapi.Config) { c.URL, c.Username = "https://flag/M", "u" }),
		},
		{
			name: "the policy beats the defaults",
			args: []string{"--username", "u"}, env: map[string]string{password: "", "PRIVSYNC_SERVERS": "https://policy/M"}, fallback: section,
			want: with(func(c *mstrapi.Config) { c.URL, c.Username, c.LoginMode = "https://policy/M", "u", mstrapi.LDAP }),
		},
		{
			name: "a variable beats the policy",
			env: map[string]string{
				password: "", "PRIVSYNC_URL": "https://variable/M", "PRIVSYNC_USERNAME": "v", "PRIVSYNC_LOGIN_MODE": "1",
				"PRIVSYNC_CONCURRENCY": "3", "PRIVSYNC_RATE": "0", "PRIVSYNC_CA_FILE": "ca.pem",
			},
			fallback: section,
			want: with(func(c *mstrapi.Config) {
				c.URL, c.Username, c.Concurrency, c.Rate, c.CAFile = "https://variable/M", "v", 3, 0, "ca.pem"
			}),
		},
		{
			name: "a flag beats a variable",
			args: []string{"--url", "https://flag/M", "--username", "f", "--login-mode", "standard", "--concurrency", "9", "--rate", "7.5",
				"--ca-file", "flag.pem", "--timeout", "5s", "--max-attempts", "2", "--allow-http"},
			env: map[string]string{
				password: "", "PRIVSYNC_URL": "https://variable/M", "PRIVSYNC_USERNAME": "v", "PRIVSYNC_LOGIN_MODE": "16",
				"PRIVSYNC_CONCURRENCY": "not a number, and not looked at", "PRIVSYNC_RATE": "1", "PRIVSYNC_CA_FILE": "variable.pem",
			},
			fallback: section,
			want: mstrapi.Config{
				URL: "https://flag/M", Username: "f", LoginMode: mstrapi.Standard, Concurrency: 9, Rate: 7.5, CAFile: "flag.pem",
				Timeout: 5 * time.Second, MaxAttempts: 2, MaxAnswer: mstrapi.DefaultMaxAnswer, AllowHTTP: true,
			},
		},
		{
			name: "an empty variable is not set",
			env:  map[string]string{password: "", "PRIVSYNC_SERVERS": "https://policy/M", "PRIVSYNC_USERNAME": "v", "PRIVSYNC_LOGIN_MODE": "", "PRIVSYNC_RATE": ""},
			want: with(func(c *mstrapi.Config) { c.URL, c.Username, c.LoginMode = "https://policy/M", "v", mstrapi.LDAP }), fallback: section,
		},
		{
			name: "a token without a user name means apiToken",
			args: []string{"--url", "https://flag/M"}, env: map[string]string{"PRIVSYNC_API_TOKEN": "t0ken"},
			want: with(func(c *mstrapi.Config) { c.URL, c.LoginMode, c.APIToken = "https://flag/M", mstrapi.APIToken, "t0ken" }),
		},
		{
			name: "a token beside a user name does not",
			args: []string{"--url", "https://flag/M", "--username", "u"}, env: map[string]string{"PRIVSYNC_API_TOKEN": "t0ken", password: "p"},
			want: with(func(c *mstrapi.Config) { c.URL, c.Username, c.Password = "https://flag/M", "u", "p" }),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := configure(t, tt.args, tt.env, tt.fallback)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if got.Password.Reveal() != tt.want.Password.Reveal() || got.APIToken.Reveal() != tt.want.APIToken.Reveal() {
				t.Error("the secrets differ")
			}
		})
	}
}

func TestLoginModeTakesNamesAndNumbers(t *testing.T) {
	for text, want := range map[string]mstrapi.LoginMode{
		"standard": mstrapi.Standard, "1": mstrapi.Standard, "ldap": mstrapi.LDAP, "LDAP": mstrapi.LDAP, "16": mstrapi.LDAP,
		"apiToken": mstrapi.APIToken, "4096": mstrapi.APIToken,
	} {
		var m loginMode
		if err := m.Set(text); err != nil || m.mode != want {
			t.Errorf("Set(%q) = %v, %v, want %v", text, m.mode, err, want)
		}
	}
	var m loginMode
	if err := m.Set("8"); err == nil {
		t.Error("anonymous login (8) was accepted")
	}
}

func TestSecrets(t *testing.T) {
	base := []string{"--url", "https://h/M", "--username", "u"}
	password := func(t *testing.T, content string, mode os.FileMode) (string, string) {
		t.Helper()
		cfg, stderr, err := configure(t, append(base, "--password-file", writeFile(t, content, mode)), nil, policy.Environment{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Password.Reveal(), stderr
	}
	for content, want := range map[string]string{
		"pw": "pw", "pw\n": "pw", "pw\r\n": "pw", " pw ": " pw ", "": "", "\n": "", "pä$$wörd\n": "pä$$wörd",
	} {
		if got, _ := password(t, content, 0o600); got != want {
			t.Errorf("password of a file with %q = %q, want %q", content, got, want)
		}
	}
	if _, _, err := configure(t, append(base, "--password-file", writeFile(t, "one\n\n", 0o600)), nil, policy.Environment{}); err == nil {
		t.Error("a file with two line ends was accepted: only one is taken off")
	}
	if runtime.GOOS != "windows" {
		if _, stderr := password(t, "pw", 0o644); !strings.Contains(stderr, "can be read by others") {
			t.Errorf("no warning about a file that all may read: %q", stderr)
		}
		if _, stderr := password(t, "pw", 0o600); stderr != "" {
			t.Errorf("warning about a private file: %q", stderr)
		}
	}

	// The flag beats the variable, one variable does not silently beat the other.
	file := writeFile(t, "from the file", 0o600)
	cfg, _, err := configure(t, append(base, "--password-file", file), map[string]string{passwordVariable: "from the variable"}, policy.Environment{})
	if err != nil || cfg.Password.Reveal() != "from the file" {
		t.Errorf("password = %q, %v, want that of the flag's file", cfg.Password.Reveal(), err)
	}
	_, _, err = configure(t, base, map[string]string{passwordVariable: "x", "PRIVSYNC_PASSWORD_FILE": file}, policy.Environment{})
	if err == nil || !strings.Contains(err.Error(), "both PRIVSYNC_PASSWORD and PRIVSYNC_PASSWORD_FILE") {
		t.Errorf("two passwords given by variables: %v", err)
	}
}

func TestConfigErrorsNameFlagAndVariable(t *testing.T) {
	section := policy.Environment{URL: "https://policy/M"}
	allowed := map[string]string{"PRIVSYNC_SERVERS": "https://policy/M"}
	tests := []struct {
		name     string
		args     []string
		env      map[string]string
		fallback policy.Environment
		want     []string // in the message or its hint
	}{
		{"no URL", nil, nil, policy.Environment{}, []string{"--url", "PRIVSYNC_URL", "environment.url"}},
		{"empty URL", nil, map[string]string{"PRIVSYNC_URL": " ", "PRIVSYNC_SERVERS": "https://policy/M"}, section, []string{"variable PRIVSYNC_URL is empty", "--url"}},
		{"empty list", nil, map[string]string{"PRIVSYNC_SERVERS": " ,"}, section, []string{"variable PRIVSYNC_SERVERS is empty", "unset"}},
		{"no user", nil, allowed, section, []string{"--username", "PRIVSYNC_USERNAME"}},
		{"no password", []string{"--username", "u"}, allowed, section, []string{"PRIVSYNC_PASSWORD", "--password-file"}},
		{"no token", []string{"--login-mode", "apiToken"}, allowed, section, []string{"PRIVSYNC_API_TOKEN", "--api-token-file"}},
		{"no such file", []string{"--username", "u", "--password-file", "/nowhere/at/all"}, allowed, section, []string{"--password-file", "/nowhere/at/all"}},
		{"bad rate", nil, map[string]string{"PRIVSYNC_RATE": "fast"}, section, []string{"PRIVSYNC_RATE", `"fast"`, "--rate"}},
		{"infinite rate", nil, map[string]string{"PRIVSYNC_RATE": "Inf"}, section, []string{"PRIVSYNC_RATE"}},
		{"bad concurrency", nil, map[string]string{"PRIVSYNC_CONCURRENCY": "0"}, section, []string{"PRIVSYNC_CONCURRENCY", "--concurrency"}},
		{"bad login mode", nil, map[string]string{"PRIVSYNC_LOGIN_MODE": "kerberos"}, section, []string{"PRIVSYNC_LOGIN_MODE", "standard", "ldap", "apiToken"}},
		{"bad flag", []string{"--rate", "-1"}, nil, section, []string{"--rate"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := configure(t, tt.args, tt.env, tt.fallback)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			var e *ending
			if errors.As(err, &e) {
				text += " " + e.hint
			}
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not name %s", text, want)
				}
			}
		})
	}
}

func TestNoFlagTakesASecret(t *testing.T) {
	cmd := &cobra.Command{}
	new(connectionFlags).register(cmd)
	for _, name := range []string{"password", "api-token", "token"} {
		if cmd.Flags().Lookup(name) != nil {
			t.Errorf("there is a flag --%s", name)
		}
	}
}
