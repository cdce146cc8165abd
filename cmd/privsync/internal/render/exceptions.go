package render

import (
	"fmt"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
	"privsync/policy"
)

// maxExceptions is how many exceptions of a policy a text shows without Options.Verbose,
// and a page at most.
const maxExceptions = 1000

// noEnd is said of an exception that has no last day.
const noEnd = "no end"

// toldException is an exception of a policy in clean words.
type toldException struct {
	State, Who, From, Privileges, Until, Why, Place string

	style style
}

// Tone is what a page calls the style.
func (t toldException) Tone() string { return t.style.tone() }

func tellException(x *planner.Exception) toldException {
	t := toldException{State: Clean(string(x.State)), Who: exceptedWho(&x.Who), Until: Clean(x.Until), Place: place(x.Position)}
	switch x.State {
	case planner.ExceptionExpiring:
		t.style = yellow
	case planner.ExceptionExpired:
		t.style = alarm
	}
	if x.Until == "" {
		t.Until = noEnd
	}
	switch x.From {
	case planner.FromRule:
		t.From = "rule " + Quote(clip(Clean(x.Rule), clipName))
	default:
		t.From = Clean(string(x.From)) + " of " + clip(Clean(x.Selector), clipMessage)
	}
	t.Privileges = clip(privileges(x.Privileges), clipMessage)
	t.Why = joined(": ", clip(Clean(x.Reason), clipMessage), clip(Clean(x.Description), clipMessage))
	return t
}

// exceptedWho names who is excepted.
func exceptedWho(r *planner.ProtectedRef) string {
	var text string
	switch {
	case r.Users != nil:
		text = r.Users.Words(policy.User)
	case r.Groups != nil:
		text = r.Groups.Words(policy.Group)
	case r.Group != "":
		text = "group " + Quote(r.Group) + " and its members"
	default:
		text = "user " + Quote(r.User)
	}
	return clip(text, clipMessage) + when(r.ID != "", " (%s)", Clean(r.ID))
}

// String is one line.
func (t toldException) String() string {
	until := "until " + t.Until
	if t.Until == noEnd {
		until = noEnd
	}
	return fmt.Sprintf("%s: %s, from %s (%s), %s", t.State, t.Who, t.From, t.Privileges, until) + when(t.Why != "", "; %s", t.Why) + inBrackets(t.Place)
}

// exceptions writes the register of the policy's exceptions.
func (t *textWriter) exceptions(list []planner.Exception) {
	show, more := few(t, list, maxExceptions)
	t.list(clean.Count(len(list), "exception")+" in the policy", 6, len(show), func(i int) (style, string) {
		x := tellException(&show[i])
		return x.style, "  = " + x.String()
	})
	if more > 0 {
		t.line(dim, "  … and %d more; --format json shows all", more)
	}
}

func exceptionSection(r *executor.Report) section {
	return section{
		open: "\n### 🔓 " + clean.Count(len(r.Exceptions), "exception") + " in the policy\n\n", noun: "exception", n: len(r.Exceptions), weight: 1,
		item: func(i int) (string, string) {
			x := tellException(&r.Exceptions[i])
			line := fmt.Sprintf("- **%s** %s from %s: %s, until %s", ownWord(r.Exceptions[i].State, planner.ExceptionInForce, planner.ExceptionExpiring, planner.ExceptionExpired), span(x.Who, clipMessage), span(x.From, clipMessage),
				span(x.Privileges, clipMessage), span(x.Until, clipName))
			short := line + "\n"
			if x.Why != "" {
				line += "; " + span(x.Why, 2*clipMessage)
			}
			if x.Place != "" {
				line += " " + span(x.Place, clipMessage)
			}
			return line + "\n", short
		},
	}
}

// exceptions adds the register of the policy's exceptions to the page.
func (b *pageBuilder) exceptions(list []planner.Exception) {
	for i := range list[:min(len(list), maxExceptions)] {
		b.page.Exceptions = append(b.page.Exceptions, tellException(&list[i]))
	}
	if more := len(list) - maxExceptions; more > 0 {
		b.page.ExceptionsLeft = fmt.Sprintf("and %d more, which the JSON report holds", more)
	}
}
