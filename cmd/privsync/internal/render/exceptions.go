package render

import (
	"fmt"
	"strings"

	"privsync/executor"
	"privsync/planner"
	"privsync/policy"
)

// maxExceptions is how many exceptions of a policy a text shows without Options.Verbose,
// and a page at most.
const maxExceptions = 1000

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
		t.Until = "no end"
	}
	switch x.From {
	case planner.FromRule:
		t.From = "rule " + Quote(clip(Clean(x.Rule), clipName))
	default:
		t.From = Clean(string(x.From)) + " of " + clip(Clean(x.Selector), clipMessage)
	}
	t.Privileges = clip(privileges(x.Privileges), clipMessage)
	t.Why = clip(Clean(x.Reason), clipMessage)
	if x.Description != "" {
		t.Why = strings.TrimPrefix(t.Why+": ", ": ") + clip(Clean(x.Description), clipMessage)
	}
	return t
}

// exceptedWho names who is excepted.
func exceptedWho(r *planner.ProtectedRef) string {
	id := ""
	if r.ID != "" {
		id = " (" + Clean(r.ID) + ")"
	}
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
	return clip(text, clipMessage) + id
}

// String is one line.
func (t toldException) String() string {
	s := fmt.Sprintf("%s: %s, from %s (%s), until %s", t.State, t.Who, t.From, t.Privileges, t.Until)
	if t.Until == "no end" {
		s = strings.TrimSuffix(s, "until "+t.Until) + t.Until
	}
	if t.Why != "" {
		s += "; " + t.Why
	}
	return s + inBrackets(t.Place)
}

// exceptions writes the register of the policy's exceptions.
func (t *textWriter) exceptions(list []planner.Exception) {
	if len(list) == 0 {
		return
	}
	t.part(bold, "%s in the policy", count(len(list), "exception"))
	show, more := few(t, list, maxExceptions)
	for i := range show {
		x := tellException(&show[i])
		t.para(x.style, 6, "  = "+x.String())
	}
	if more > 0 {
		t.line(dim, "  … and %d more; --format json shows all", more)
	}
}

func exceptionSection(r *executor.Report) section {
	return section{
		open: "\n### 🔓 " + count(len(r.Exceptions), "exception") + " in the policy\n\n", noun: "exception", n: len(r.Exceptions), weight: 1,
		item: func(i int) (string, string) {
			x := tellException(&r.Exceptions[i])
			line := fmt.Sprintf("- **%s** %s from %s: %s, until %s", stateWord(r.Exceptions[i].State), span(x.Who, clipMessage), span(x.From, clipMessage),
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

// stateWord is a state as a word where it is one of ours.
func stateWord(s planner.ExceptionState) string {
	switch s {
	case planner.ExceptionInForce, planner.ExceptionExpiring, planner.ExceptionExpired:
		return string(s)
	}
	return span(string(s), clipName)
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
