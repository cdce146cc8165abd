package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"privsync/policy"
)

const bi = "https://bi.example.com/MicroStrategyLibrary"

// listed writes a user's list of servers and returns the variables that lead to it.
func listed(t *testing.T, text string) (map[string]string, string) {
	t.Helper()
	config := t.TempDir()
	path := filepath.Join(config, "privsync", "servers")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"XDG_CONFIG_HOME": config, passwordVariable: "s3cret"}, path
}

func TestServersAreComparedAsAWhole(t *testing.T) {
	document := func(url string) policy.Environment {
		return policy.Environment{URL: url, URLPos: policy.Position{File: "policy.yaml", Line: 3, Column: 15}}
	}
	for _, c := range []struct {
		list, url string
		allowed   bool
	}{
		{bi, bi, true},
		{"HTTPS://BI.example.com:443/MicroStrategyLibrary/", bi, true},
		{bi, "https://BI.EXAMPLE.COM/MicroStrategyLibrary/api", true},
		{"https://a/x, " + bi + "\t https://b/y", bi, true},
		{"http://localhost:8080/M", "http://localhost:8080/M", true},
		{"https://bi.example.com", bi, false},
		{bi, "https://bi.example.com", false},
		{bi, bi + "2", false},
		{bi, bi + "/more", false},
		{bi, "https://bi.example.com:8443/MicroStrategyLibrary", false},
		{bi, "http://bi.example.com/MicroStrategyLibrary", false},
		{bi, "https://bi.example.com.evil.example/MicroStrategyLibrary", false},
		{bi, "https://evil.example/bi.example.com/MicroStrategyLibrary", false},
		{bi, "https://bi.example.com/microstrategylibrary", false},
		{bi, "https://bi.example.com/x/../MicroStrategyLibrary", true},
		{bi, "https://bi.example.com/MicroStrategyLibrary/..", false},
		{bi, "https://bi.example.com/x%2f..%2fMicroStrategyLibrary", false},
	} {
		byVariable := map[string]string{serversVariable: c.list, passwordVariable: "s3cret", "XDG_CONFIG_HOME": t.TempDir()}
		byFile, _ := listed(t, "# servers\n\n"+strings.Join(strings.FieldsFunc(c.list, func(r rune) bool { return strings.ContainsRune(", \t", r) }), "\r\n"))
		for how, env := range map[string]map[string]string{"variable": byVariable, "file": byFile} {
			cfg, _, err := configure(t, []string{"--username", "u"}, env, document(c.url))
			if (err == nil) != c.allowed {
				t.Errorf("%s %q allows %s = %v, want %t", how, c.list, c.url, err, c.allowed)
			}
			if err != nil && (cfg.URL != "" || cfg.Password.Reveal() != "") {
				t.Errorf("%s %q: a refused configuration leads to %q", how, c.list, cfg.URL)
			}
		}
	}
	// The refusal names the document, the URL and the ways.
	_, _, err := configure(t, []string{"--username", "u"}, map[string]string{"XDG_CONFIG_HOME": "/cfg", passwordVariable: ""}, document(bi))
	text := err.Error() + " " + err.(*ending).hint
	for _, want := range []string{"policy.yaml:3:15", bi, "--url", urlVariable, serversVariable, "/cfg/privsync/servers", systemServers} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not name %s", text, want)
		}
	}
	// What a shell said needs no list.
	cfg, _, err := configure(t, []string{"--username", "u"}, map[string]string{urlVariable: bi, serversVariable: "", passwordVariable: ""}, document("https://evil.example/"))
	if err != nil || cfg.URL != bi {
		t.Errorf("with %s: %q, %v", urlVariable, cfg.URL, err)
	}
}

func TestServerListsMustBeInOrder(t *testing.T) {
	section := policy.Environment{URL: bi}
	try := func(env map[string]string) error {
		_, _, err := configure(t, []string{"--username", "u"}, env, section)
		return err
	}
	for list, want := range map[string]string{
		bi + " ftp://x/":              "variable PRIVSYNC_SERVERS: entry 2:",
		"bi.example.com":              "entry 1:",
		"https://admin:s3cret@bi/M":   "entry 1:",
		"https://*.example.com/M?x=1": "entry 1:",
		"  ":                          "is empty",
	} {
		err := try(map[string]string{serversVariable: list, passwordVariable: "", "XDG_CONFIG_HOME": t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q = %v, want %q", list, err, want)
		}
	}
	env, path := listed(t, bi+"\nnot a server\n")
	if err := try(env); err == nil || !strings.Contains(err.Error(), path+":2:") {
		t.Errorf("a list with a mistake = %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	env, path = listed(t, "  # servers\n"+bi+" # production, see #12\r\n")
	if err := try(env); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []struct {
		path string
		mode os.FileMode
	}{{path, 0o666}, {filepath.Dir(path), 0o777}} {
		was, err := os.Stat(spoil.path)
		if err == nil {
			err = os.Chmod(spoil.path, spoil.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := try(env); err == nil || !strings.Contains(err.Error(), spoil.path+" can be written by everybody") {
			t.Errorf("%s with mode %o = %v, want it refused", spoil.path, spoil.mode, err)
		}
		if err := os.Chmod(spoil.path, was.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServersAreRemembered(t *testing.T) {
	l := allowList{trusted: func(err error) error { return err }, remember: filepath.Join(t.TempDir(), "config", "privsync", "servers")}
	l.files = []string{l.remember}
	for _, url := range []string{bi, "https://other.example/M"} {
		if by, err := l.allows(url); by != "" || err != nil {
			t.Fatalf("%s is allowed by %q before it is remembered: %v", url, by, err)
		}
		if err := l.add(url); err != nil {
			t.Fatal(err)
		}
		if by, err := l.allows(url); by != l.remember || err != nil {
			t.Errorf("%s is allowed by %q, %v", url, by, err)
		}
	}
	if err := os.WriteFile(l.remember, []byte("# no end"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.add(bi); err != nil {
		t.Fatal(err)
	}
	if by, err := l.allows(bi); by != l.remember || err != nil {
		t.Errorf("after a line without an end: %q, %v", by, err)
	}
}
