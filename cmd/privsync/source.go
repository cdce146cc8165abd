package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/planner"
)

// sourceFlag says where a policy and a run come from: commit, ref, pull request, link to
// the build, author.
type sourceFlag struct{ given planner.Provenance }

const sourceUsage = "note in the document where it comes from: `KEY=VALUE` with commit, ref, pull-request, build (a link) or author; may be repeated (default: from the CI system's variables)"

func (s *sourceFlag) register(cmd *cobra.Command) {
	cmd.Flags().Var(s, "source", sourceUsage)
	_ = cmd.RegisterFlagCompletionFunc("source", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"commit=", "ref=", "pull-request=", "build=", "author="}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
}

func (s *sourceFlag) fields() map[string]*string {
	g := &s.given
	return map[string]*string{"commit": &g.Commit, "ref": &g.Ref, "pull-request": &g.PullRequest, "build": &g.Build, "author": &g.Author}
}

// Set takes one KEY=VALUE.
func (s *sourceFlag) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	field := s.fields()[key]
	if !ok || field == nil {
		return fmt.Errorf("%s is not KEY=VALUE with one of commit, ref, pull-request, build, author", clean.Quote(cutText(text, 80)))
	}
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s is empty; is a variable of the shell not set?", key)
	}
	if *field != "" {
		return fmt.Errorf("%s is given twice", key)
	}
	*field = value
	return nil
}

func (s *sourceFlag) String() string {
	var parts []string
	for key, value := range s.fields() {
		if *value != "" {
			parts = append(parts, key+"="+*value)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func (s *sourceFlag) Type() string { return "KEY=VALUE" }

// of returns where this run comes from, as the flag says, or the variables of a CI
// system; nil where neither tells anything.
func (s *sourceFlag) of(a *app) *planner.Provenance {
	p := s.given
	from := a.ciSource()
	for _, f := range []struct{ given, found *string }{
		{&p.Commit, &from.Commit}, {&p.Ref, &from.Ref}, {&p.PullRequest, &from.PullRequest}, {&p.Build, &from.Build}, {&p.Author, &from.Author},
	} {
		if *f.given == "" {
			*f.given = *f.found
		}
	}
	if p.PullRequest == "" {
		p.PullRequest = pullRequestOf(p.Ref)
	}
	p.Build = withoutUserInfo(p.Build)
	for _, text := range []*string{&p.Commit, &p.Ref, &p.PullRequest, &p.Build, &p.Author} {
		*text = outsideText(*text)
	}
	if p == (planner.Provenance{}) {
		return nil
	}
	return &p
}

// ciSource reads the variables of one CI system: of the one that says that it runs this,
// otherwise of the first that names a commit or a ref.
func (a *app) ciSource() planner.Provenance {
	get := func(names ...string) string {
		for _, name := range names {
			if value, _ := a.env(name); strings.TrimSpace(value) != "" {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	join := func(parts ...string) string {
		if slices.Contains(parts, "") {
			return ""
		}
		return strings.Join(parts, "")
	}
	systems := []struct {
		running bool
		planner.Provenance
	}{
		{get("GITHUB_ACTIONS") == "true", planner.Provenance{
			Commit: get("GITHUB_SHA"), Ref: get("GITHUB_REF", "GITHUB_REF_NAME"), Author: get("GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"),
			Build: join(strings.TrimSuffix(get("GITHUB_SERVER_URL"), "/"), "/", get("GITHUB_REPOSITORY"), "/actions/runs/", get("GITHUB_RUN_ID")),
		}},
		{get("GITLAB_CI") == "true", planner.Provenance{
			Commit: get("CI_COMMIT_SHA"), Ref: get("CI_COMMIT_REF_NAME", "CI_COMMIT_BRANCH", "CI_COMMIT_TAG"),
			PullRequest: get("CI_MERGE_REQUEST_IID", "CI_EXTERNAL_PULL_REQUEST_IID"), Build: get("CI_JOB_URL", "CI_PIPELINE_URL"),
			Author: get("CI_COMMIT_AUTHOR", "GITLAB_USER_LOGIN", "GITLAB_USER_NAME"),
		}},
		{strings.EqualFold(get("TF_BUILD"), "true"), planner.Provenance{
			Commit: get("BUILD_SOURCEVERSION"), Ref: get("BUILD_SOURCEBRANCH", "BUILD_SOURCEBRANCHNAME"),
			PullRequest: get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"),
			Build: join(strings.TrimSuffix(get("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"), "/"), "/",
				url.PathEscape(get("SYSTEM_TEAMPROJECT")), "/_build/results?buildId=", get("BUILD_BUILDID")),
			Author: get("BUILD_SOURCEVERSIONAUTHOR", "BUILD_REQUESTEDFOR", "BUILD_REQUESTEDFOREMAIL"),
		}},
		{get("JENKINS_URL") != "", planner.Provenance{
			Commit: get("GIT_COMMIT"), Ref: get("CHANGE_BRANCH", "BRANCH_NAME", "GIT_BRANCH"), PullRequest: get("CHANGE_ID"),
			Build: get("BUILD_URL", "RUN_DISPLAY_URL"), Author: get("CHANGE_AUTHOR", "GIT_AUTHOR_NAME", "BUILD_USER_ID", "BUILD_USER"),
		}},
	}
	for _, s := range systems {
		if s.running {
			return s.Provenance
		}
	}
	for _, s := range systems {
		if s.Commit != "" || s.Ref != "" || s.PullRequest != "" {
			return s.Provenance
		}
	}
	return planner.Provenance{}
}

// pullRef is a ref of a pull request, of GitHub and Azure or of GitLab.
var pullRef = regexp.MustCompile(`^refs/(?:pull|merge-requests)/([0-9]{1,18})/`)

// pullRequestOf returns the number of the pull request that a ref belongs to, "" for none.
func pullRequestOf(ref string) string {
	if m := pullRef.FindStringSubmatch(ref); m != nil {
		return m[1]
	}
	return ""
}

// outsideText is text from a CI system as documents hold it: clean, one line, not too
// long, and without the credentials that somebody wrote into a URL.
func outsideText(s string) string {
	s = urlInText.ReplaceAllStringFunc(strings.ToValidUTF8(s, "\ufffd"), withoutCredentials)
	return cutText(clean.Text(s), planner.MaxProvenance)
}

var (
	urlInText   = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s<>"]+`)
	secretParam = regexp.MustCompile(`(?i)([?&;#][^=&;#]*(?:token|secret|passw|pwd|api_?key|auth|credential|sig)[^=&;#]*=)[^&;#]*`)
)

// withoutCredentials takes user and password out of a URL, and the values of parameters
// whose names look like those of secrets.
func withoutCredentials(raw string) string {
	if _, err := url.Parse(raw); err != nil && strings.Contains(raw, "@") {
		// A password with a slash in it: what is host and what is not nobody can tell.
		scheme, rest, _ := strings.Cut(raw, "://")
		raw = scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
	}
	return secretParam.ReplaceAllString(withoutUserInfo(raw), "${1}[redacted]")
}

// cutText cuts s to at most n bytes, at a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
