package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/policy"
)

const (
	// serversVariable lists the servers to which a login may go that only a
	// document names: base URLs separated by blanks or commas.
	serversVariable = "PRIVSYNC_SERVERS"
	// systemServers is the machine's list of the same, one a line.
	systemServers = "/etc/privsync/servers"
	// maxServersFile bounds a list; some ten thousand servers are no list of one's own.
	maxServersFile = 1 << 20
)

// allowList says which servers may get a login when only a document names them:
// whoever writes a policy, a plan or a report may be somebody who must not learn
// the password. Files that do not exist allow nothing.
type allowList struct {
	variable string // the value of [serversVariable]
	set      bool
	files    []string
	remember string // the user's own file, one of files; empty where there is no home

	trusted func(error) error // [app.trusted]
}

// allowList returns the lists that hold for this invocation.
func (a *app) allowList() allowList {
	l := allowList{trusted: a.trusted}
	l.variable, l.set = a.env(serversVariable)
	// A relative path there is to be ignored, says the XDG specification.
	config, _ := a.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = ""
		home, _ := a.env("HOME")
		if !filepath.IsAbs(home) {
			home, _ = os.UserHomeDir() // "" where there is none, as in a container
		}
		if home != "" {
			config = filepath.Join(home, ".config")
		}
	}
	if config != "" {
		l.remember = filepath.Join(config, "privsync", "servers")
		l.files = append(l.files, l.remember)
	}
	if runtime.GOOS != "windows" {
		l.files = append(l.files, systemServers)
	}
	return l
}

// ways says how to allow a server.
func (l allowList) ways(url string) string {
	return fmt.Sprintf("name it with --url or %s; or allow documents to name it: put %s into %s, or as a line into %s, which only its owner and root may be able to write",
		urlVariable, url, serversVariable, strings.Join(l.files, " or "))
}

// allows returns which list holds the server at url, a base URL as
// [mstrapi.BaseURL] returns it, or "". Servers are compared as a whole. A list that is
// not in order is an error, even if another one holds the server.
func (l allowList) allows(url string) (string, error) {
	found := ""
	if l.set {
		entries := strings.FieldsFunc(l.variable, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
		if len(entries) == 0 {
			return "", hinted(fmt.Errorf("variable %s is empty", serversVariable), "list the base URLs of servers in it, or unset it")
		}
		for i, entry := range entries {
			base, err := mstrapi.BaseURL(entry)
			if err != nil {
				return "", fmt.Errorf("variable %s: entry %d: %w", serversVariable, i+1, err)
			}
			if base == url {
				found = serversVariable
			}
		}
	}
	for _, file := range l.files {
		bases, err := l.read(file)
		if err != nil {
			return "", err
		}
		for _, base := range bases {
			if base == url {
				found = cmp.Or(found, file)
			}
		}
	}
	return found, nil
}

// read returns the base URLs in a file of servers, one a line; # at the start of
// a line, or after a blank, begins a comment. None if there is no such file.
func (l allowList) read(path string) ([]string, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("list of servers %s is not a plain file", path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, hinted(fmt.Errorf("list of servers: %w", err), "make it readable, or name the server with --url or "+urlVariable)
	}
	defer f.Close()
	if err := l.trusted(executor.CheckTrustedFile(f)); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxServersFile+1))
	if err != nil {
		return nil, fmt.Errorf("list of servers: %w", err)
	}
	if len(data) > maxServersFile {
		return nil, fmt.Errorf("list of servers %s is larger than %d bytes", path, maxServersFile)
	}
	var out []string
	for i, line := range strings.Split(string(data), "\n") {
		if at := strings.IndexByte(line, '#'); at == 0 || at > 0 && strings.ContainsRune(" \t", rune(line[at-1])) {
			line = line[:at]
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		base, err := mstrapi.BaseURL(line)
		if err != nil {
			return nil, fmt.Errorf("list of servers %s:%d: %w", path, i+1, err)
		}
		out = append(out, base)
	}
	return out, nil
}

// add remembers that documents may name the server at url.
func (l allowList) add(url string) error {
	if l.remember == "" {
		return errors.New("there is no folder for the user's configuration")
	}
	if err := os.MkdirAll(filepath.Dir(l.remember), 0o700); err != nil {
		return err
	}
	if err := l.trusted(executor.CheckTrusted(filepath.Dir(l.remember))); err != nil {
		return err
	}
	f, err := os.OpenFile(l.remember, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	line := url + "\n"
	// Somebody's editor may have left the last line without an end.
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], end-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// serverURL decides which server the login goes to, and says in c.named who named
// it: the flag, the variable, or else the document that fallback is from, if a list
// or the person at the terminal allows that. It reads no secret.
func (c *connectionFlags) serverURL(a *app, fallback policy.Environment) (string, error) {
	if c.flags.Changed("url") {
		c.named = "--url"
		return c.url, nil
	}
	if value, set := a.env(urlVariable); set {
		if strings.TrimSpace(value) == "" {
			return "", hinted(fmt.Errorf("variable %s is empty", urlVariable),
				"name the server with --url or in "+urlVariable+", or unset the variable if a document names one that "+serversVariable+" allows")
		}
		c.named = urlVariable
		return c.url, nil
	}
	if fallback.URL == "" {
		return "", hinted(errors.New("no server given"),
			"say which with --url or "+urlVariable+", or with environment.url in the policy and the same URL in "+serversVariable)
	}
	document := cmp.Or(fallback.URLPos.File, "the document")
	if fallback.URLPos.Line > 0 {
		document = fallback.URLPos.String()
	}
	url, err := mstrapi.BaseURL(fallback.URL)
	if err != nil {
		return "", fmt.Errorf("%s: %w", document, err)
	}
	list := a.allowList()
	by, err := list.allows(url)
	if err != nil {
		return "", err
	}
	if by == "" && a.interactive() && list.remember != "" {
		yes, err := a.confirm(fmt.Sprintf("%s names the server %s; nothing on this machine does yet. Send the login there? A yes is remembered in %s.", document, url, list.remember))
		if err != nil {
			return "", err
		}
		if yes {
			by = list.remember
			if err := list.add(url); err != nil {
				a.log.Warn("the answer cannot be remembered", "file", list.remember, "error", err)
			}
		}
	}
	if by == "" {
		return "", hinted(fmt.Errorf("%s names the server %s, and nobody with a shell on this machine does: no login is sent there", document, url), list.ways(url))
	}
	c.named = fmt.Sprintf("%s, allowed by %s", document, by)
	return url, nil
}
