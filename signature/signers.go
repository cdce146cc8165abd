package signature

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"privsync/clean"
)

// maxSigners bounds a file allowed_signers in bytes.
const maxSigners = 4 << 20

// Signers are those who may sign, read from a file allowed_signers. The zero value
// lets nobody sign. It is not changed after [ParseSigners] and may be used
// concurrently.
type Signers struct {
	file   string
	lines  []signerLine
	people people
}

type signerLine struct {
	at         string // FILE:LINE
	principals string // as written
	names      []string
	key        ssh.PublicKey
	print      string // the key's fingerprint
	authority  bool
	namespaces []string // patterns; nil: any
	after      time.Time
	before     time.Time
}

// ParseSigners reads a file allowed_signers: lines of principals, options
// (cert-authority, namespaces, valid-after, valid-before), and a public key. Every
// line that it does not understand is in the error, which begins with name:LINE.
func ParseSigners(name string, r io.Reader) (*Signers, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSigners+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxSigners {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxSigners>>20)
	}
	s := &Signers{file: name, people: people{}}
	var problems []error
	scanner := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	scanner.Buffer(nil, maxSigners+1)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, n)
		l, err := parseLine(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", at, err))
			continue
		}
		l.at = at
		s.lines = append(s.lines, l)
		for _, who := range l.names {
			s.people.join(keyNode(l.print), nameNode(who))
		}
	}
	return s, errors.Join(append(problems, scanner.Err())...)
}

func parseLine(line string) (signerLine, error) {
	var l signerLine
	rest := ""
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if l.principals, rest, ok = strings.Cut(quoted, `"`); !ok {
			return l, errors.New("a quote is not closed")
		}
	} else {
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			return l, errors.New("write PRINCIPALS [OPTIONS] KEY: there is one word only")
		}
		l.principals, rest = line[:end], line[end:]
	}
	for who := range strings.SplitSeq(l.principals, ",") {
		// A pattern names nobody in particular.
		if who = strings.TrimSpace(who); who != "" && !strings.ContainsAny(who, "*?!") {
			l.names = append(l.names, who)
		}
	}
	key, _, options, more, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil || len(bytes.TrimSpace(more)) > 0 {
		return l, errors.New("no public key can be read in it: write PRINCIPALS [OPTIONS] KEY")
	}
	l.key, l.print = key, ssh.FingerprintSHA256(key)
	for _, option := range options {
		if err := l.option(option); err != nil {
			return l, err
		}
	}
	if !l.before.IsZero() && !l.after.IsZero() && !l.before.After(l.after) {
		return l, errors.New("valid-before is not after valid-after")
	}
	return l, nil
}

func (l *signerLine) option(option string) error {
	name, value, given := strings.Cut(option, "=")
	value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
	var err error
	switch name := strings.ToLower(name); {
	case name == "cert-authority" && !given:
		l.authority = true
	case name == "namespaces" && given && l.namespaces == nil && value != "":
		l.namespaces = strings.Split(value, ",")
	case name == "valid-after" && given && l.after.IsZero():
		l.after, err = parseTime(value)
	case name == "valid-before" && given && l.before.IsZero():
		l.before, err = parseTime(value)
	default:
		return fmt.Errorf("option %s is unknown, without its value, or given twice", clean.Quote(clean.Clip(option, 80)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parseTime reads a time as OpenSSH does: YYYYMMDD[HHMM[SS]], in UTC if Z follows,
// otherwise in the machine's own time zone.
func parseTime(text string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(layout) != len(digits) {
			continue
		}
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time as YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC", clean.Quote(clean.Clip(text, 80)))
}

// Verify says who signed message, if the signature in text holds: it is of namespace,
// its key stands in the file, valid at the time at and for this namespace, and it is
// over just these bytes. The error says why it does not; it matches [ErrMessage] where
// the message could not be read.
func (s *Signers) Verify(message io.Reader, text []byte, namespace string, at time.Time) (Good, error) {
	if len(text) > MaxSize {
		return Good{}, errors.New("it is too large to be a signature")
	}
	sig, err := sshsig.Unarmor(text)
	if err != nil {
		return Good{}, errors.New("it is no SSH signature")
	}
	if sig.Namespace != namespace {
		return Good{}, fmt.Errorf("it was signed for the namespace %s, not for %s", clean.Quote(clean.Clip(sig.Namespace, 80)), clean.Quote(namespace))
	}
	print := ssh.FingerprintSHA256(sig.PublicKey)
	if err := usable(sig.PublicKey); err != nil {
		return Good{}, fmt.Errorf("key %s: %w", print, err)
	}
	line, err := s.line(sig.PublicKey, namespace, at)
	if err != nil {
		return Good{}, fmt.Errorf("key %s: %w", print, err)
	}
	noted := &notingReader{r: message}
	if err := sshsig.Verify(noted, sig, line.key, sig.HashAlgorithm, namespace); err != nil {
		if noted.err != nil {
			return Good{}, fmt.Errorf("%w: %w", ErrMessage, noted.err)
		}
		return Good{}, fmt.Errorf("key %s (%s): it is not over this file as it is now", print, line.principals)
	}
	return Good{Person: s.people.of(keyNode(print)), Name: line.principals, Key: print}, nil
}

// line returns the line by which key may sign.
func (s *Signers) line(key ssh.PublicKey, namespace string, at time.Time) (*signerLine, error) {
	wire := key.Marshal()
	err := fmt.Errorf("%s does not name it", s.file)
	for i := range s.lines {
		l := &s.lines[i]
		if !bytes.Equal(l.key.Marshal(), wire) {
			continue
		}
		switch {
		case l.authority:
			err = fmt.Errorf("%s names it as an authority of certificates, which are not taken", l.at)
		case len(l.names) == 0:
			err = fmt.Errorf("%s names a pattern and nobody in particular", l.at)
		case l.namespaces != nil && !matchList(l.namespaces, namespace):
			err = fmt.Errorf("%s does not allow it the namespace %s", l.at, namespace)
		case !l.after.IsZero() && at.Before(l.after):
			err = fmt.Errorf("%s: valid only after %s", l.at, l.after.UTC().Format(time.RFC3339))
		case !l.before.IsZero() && at.After(l.before):
			err = fmt.Errorf("%s: expired at %s", l.at, l.before.UTC().Format(time.RFC3339))
		default:
			return l, nil
		}
	}
	return nil, err
}

// People returns who, by [Good.Person], goes by one of the names. A name matches
// without regard to case, and where one of two has no domain (alice,
// alice@example.com) by what stands before it: better one approval too few than that
// of the maker.
func (s *Signers) People(names []string) []string {
	var out []string
	for i := range s.lines {
		for _, is := range s.lines[i].names {
			if slices.ContainsFunc(names, func(name string) bool { return sameName(is, name) }) {
				out = append(out, s.people.of(nameNode(is)))
			}
		}
	}
	return out
}

func sameName(a, b string) bool {
	localA, _, domainA := strings.Cut(a, "@")
	localB, _, domainB := strings.Cut(b, "@")
	if domainA && domainB {
		return strings.EqualFold(a, b)
	}
	return strings.EqualFold(localA, localB)
}

// people joins keys and names to persons: whoever shares a key or a name with
// somebody is the same person, also by way of a third.
type people map[string]string

func keyNode(print string) string { return "key " + print }
func nameNode(name string) string { return "name " + strings.ToLower(name) }

func (p people) of(node string) string {
	for p[node] != "" && p[node] != node {
		node = p[node]
	}
	return node
}

func (p people) join(a, b string) {
	if a, b = p.of(a), p.of(b); a != b {
		p[a] = b
	}
}

// matchList reports whether name matches the list of patterns, of which those with !
// exclude.
func matchList(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		p, not := strings.CutPrefix(p, "!")
		if match(p, name) {
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// match reports whether name matches pattern, in which * stands for anything and ?
// for one character.
func match(pattern, name string) bool {
	star, back := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			back++
			p, n = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// notingReader keeps the error that reading ended with, unless that is the end.
type notingReader struct {
	r   io.Reader
	err error
}

func (n *notingReader) Read(b []byte) (int, error) {
	k, err := n.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return k, err
}
