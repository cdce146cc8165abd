// Package man writes the manual pages of privsync: one of section 1 for each
// command, made from the command tree, and one of section 7 for each topic.
//
// [Generate] is the whole of it. The pages of commands are written straight in
// roff rather than through Markdown, because usage texts hold * and _ that
// Markdown would take for emphasis.
//
// The package prints nothing to a terminal and knows no command by name but the
// root's.
package man

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/cmd/privsync/internal/topics"
)

// variableAnnotation is how flags say which environment variable sets them.
const variableAnnotation = "privsync_variable"

// Generate writes the manual pages of root, of every command below it that is
// not hidden, and of the topics into the folder dir, which it makes.
//
// The same tree gives the same bytes. Pages carry the day of SOURCE_DATE_EPOCH
// (seconds since 1970) if that variable is set, and no date otherwise.
func Generate(root *cobra.Command, dir string) error {
	date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	g := generator{root: root, date: date}
	if g.exits, err = exitCodes(); err != nil {
		return err
	}
	for _, c := range commands(root) {
		if err := os.WriteFile(filepath.Join(dir, pageName(c)+".1"), g.command(c), 0o644); err != nil {
			return err
		}
	}
	for _, name := range topics.Names() {
		page, err := g.topic(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, root.Name()+"-"+name+".7"), page, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func sourceDate(epoch string) (string, error) {
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", epoch)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

// commands returns root and everything below it that a user is meant to see,
// parents first, then by name.
func commands(root *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{root}
	below := slices.Clone(root.Commands())
	slices.SortFunc(below, func(a, b *cobra.Command) int { return strings.Compare(a.Name(), b.Name()) })
	for _, c := range below {
		if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() && c.Name() != "help" {
			out = append(out, commands(c)...)
		}
	}
	return out
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

type generator struct {
	root  *cobra.Command
	date  string
	exits []exitCode
}

// command returns the page of one command.
func (g *generator) command(c *cobra.Command) []byte {
	c.InitDefaultHelpFlag()
	w := &roff{}
	w.title(strings.ToUpper(pageName(c)), "1", g.date, g.source(), "privsync manual")
	w.section("NAME")
	w.text(pageName(c) + " \\- " + escape(c.Short))
	w.section("SYNOPSIS")
	w.bold(c.UseLine())
	w.section("DESCRIPTION")
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	w.prose(long)
	if below := commands(c)[1:]; len(below) > 0 {
		w.section("COMMANDS")
		for _, sub := range below {
			w.item(sub.CommandPath(), "", sub.Short)
		}
	}
	g.flags(w, "OPTIONS", c.NonInheritedFlags())
	g.flags(w, "GLOBAL OPTIONS", c.InheritedFlags())
	if c.Example != "" {
		w.section("EXAMPLES")
		w.literal(strings.Split(strings.Trim(c.Example, "\n"), "\n"))
	}
	if c == g.root {
		g.environment(w)
	}
	w.section("EXIT STATUS")
	for _, e := range g.exits {
		w.item(e.code, "", e.text)
	}
	w.section("SEE ALSO")
	var see []string
	for _, other := range commands(g.root) {
		if other != c && (c == g.root || other == c.Parent() || other.Parent() == c) {
			see = append(see, pageName(other)+"(1)")
		}
	}
	for _, name := range topics.Names() {
		see = append(see, g.root.Name()+"-"+name+"(7)")
	}
	w.text(escape(strings.Join(see, ", ")))
	return w.b.Bytes()
}

func (g *generator) flags(w *roff, heading string, fs *pflag.FlagSet) {
	if !fs.HasAvailableFlags() {
		return
	}
	w.section(heading)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" && f.ShorthandDeprecated == "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		if d := f.DefValue; d != "" && d != "false" && d != "[]" && d != "0" && !strings.Contains(usage, "default") {
			usage += " (default " + d + ")"
		}
		w.item(name, value, usage)
	})
}

// environment lists the variables of all flags, and the two that hold secrets.
func (g *generator) environment(w *roff) {
	sets := map[string]string{}
	for _, c := range commands(g.root) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			for _, v := range f.Annotations[variableAnnotation] {
				sets[v] = "Sets --" + f.Name + " where the command line does not."
			}
		})
	}
	sets["PRIVSYNC_PASSWORD"] = "The password to log in with."
	sets["PRIVSYNC_API_TOKEN"] = "The API token to log in with."
	sets["NO_COLOR"] = "If not empty: no colour in text output."
	sets["XDG_STATE_HOME"] = "Holds the default state folder, privsync; otherwise ~/.local/state does."
	names := make([]string, 0, len(sets))
	for v := range sets {
		names = append(names, v)
	}
	slices.Sort(names)
	w.section("ENVIRONMENT")
	for _, v := range names {
		w.item(v, "", sets[v])
	}
}

// topic returns the page of one topic.
func (g *generator) topic(name string) ([]byte, error) {
	text, err := topics.Text(name)
	if err != nil {
		return nil, err
	}
	// The page's own title becomes the name line; its sections move up a level.
	_, body, _ := strings.Cut(text, "\n")
	page := g.root.Name() + "-" + name
	var md strings.Builder
	fmt.Fprintf(&md, "%% %q \"7\" %q %q %q\n", strings.ToUpper(page), g.date, g.source(), "privsync manual")
	fmt.Fprintf(&md, "# NAME\n%s \\- %s\n\n# DESCRIPTION\n", page, topics.Summary(name))
	for line := range strings.SplitSeq(body, "\n") {
		if rest, ok := strings.CutPrefix(line, "#"); ok && strings.HasPrefix(rest, "#") {
			line = rest
		}
		md.WriteString(line + "\n")
	}
	return md2man.Render([]byte(md.String())), nil
}

func (g *generator) source() string {
	return strings.TrimSpace(g.root.Name() + " " + g.root.Version)
}

// exitCode is one line of the list on the page exit-codes.
type exitCode struct{ code, text string }

func exitCodes() ([]exitCode, error) {
	page, err := topics.Text("exit-codes")
	if err != nil {
		return nil, err
	}
	var out []exitCode
	for line := range strings.SplitSeq(page, "\n") {
		if rest, ok := strings.CutPrefix(line, "- **"); ok {
			code, text, _ := strings.Cut(rest, "** ")
			out = append(out, exitCode{code, text})
		} else if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   ") && len(out) > 0 {
			out[len(out)-1].text += " " + strings.TrimSpace(line)
		} else if line != "" && len(out) > 0 {
			break
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the topic exit-codes lists no codes")
	}
	for i := range out {
		out[i].text = strings.ReplaceAll(out[i].text, "`", "")
	}
	return out, nil
}

// roff builds a page with the macros of man(7).
type roff struct{ b bytes.Buffer }

func (w *roff) title(name, section, date, source, manual string) {
	fmt.Fprintf(&w.b, ".TH %s %s %s %s %s\n.nh\n.ad l\n", quote(name), quote(section), quote(date), quote(source), quote(manual))
}

func (w *roff) section(name string) { fmt.Fprintf(&w.b, ".SH %s\n", quote(name)) }

// text writes a line that is escaped already.
func (w *roff) text(escaped string) { w.b.WriteString(escaped + "\n") }

func (w *roff) bold(s string) { w.text(".B " + quote(s)) }

// item writes an entry of a list: a term in bold, its argument in italics, and
// what it means.
func (w *roff) item(term, argument, meaning string) {
	line := `\fB` + escape(term) + `\fP`
	if argument != "" {
		line += ` \fI` + escape(argument) + `\fP`
	}
	w.b.WriteString(".TP\n" + line + "\n")
	w.prose(meaning)
}

// prose writes paragraphs; indented lines keep their form.
func (w *roff) prose(s string) {
	for i, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if i > 0 {
			w.b.WriteString(".PP\n")
		}
		lines := strings.Split(paragraph, "\n")
		for len(lines) > 0 {
			n := 0
			for n < len(lines) && strings.HasPrefix(lines[n], " ") {
				n++
			}
			if n > 0 {
				w.literal(lines[:n])
			} else {
				n = 1
				w.text(escape(lines[0]))
			}
			lines = lines[n:]
		}
	}
}

// literal writes lines as they are.
func (w *roff) literal(lines []string) {
	w.b.WriteString(".PP\n.EX\n")
	for _, line := range lines {
		w.text(escape(line))
	}
	w.b.WriteString(".EE\n")
}

// escape makes text safe for a roff line: no backslash, no request at its
// start, hyphens that can be copied.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// quote makes an argument of a request of s.
func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }
