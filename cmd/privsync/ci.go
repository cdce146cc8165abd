package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/planner"
	"privsync/policy"
)

// sourceFlag says where a policy and a run come from: commit, ref, pull request, link to
// the build, author.
type sourceFlag struct{ given planner.Provenance }

const sourceUsage = "note in the document where it comes from: `KEY=VALUE` with commit, ref, pull-request, build (a link) or author; may be repeated (default: from the CI system's variables)"

func (s *sourceFlag) register(cmd *cobra.Command) {
	cmd.Flags().Var(s, "source", sourceUsage)
}

// complete offers the keys to shell completion.
func (s *sourceFlag) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"commit=", "ref=", "pull-request=", "build=", "author="}, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
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
		return fmt.Errorf("%s is not KEY=VALUE with one of commit, ref, pull-request, build, author", clean.Quote(clean.Clip(text, 80)))
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
	p, from := s.given, a.ciSource()
	fields := []struct{ to, from *string }{
		{&p.Commit, &from.Commit}, {&p.Ref, &from.Ref}, {&p.PullRequest, &from.PullRequest}, {&p.Build, &from.Build}, {&p.Author, &from.Author},
	}
	for _, f := range fields {
		*f.to = cmp.Or(*f.to, *f.from)
	}
	p.PullRequest = cmp.Or(p.PullRequest, pullRequestOf(p.Ref))
	p.Build = withoutUserInfo(p.Build)
	for _, f := range fields {
		*f.to = outsideText(*f.to)
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
	return clean.Clip(clean.Text(s), planner.MaxProvenance)
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

// stepSummaryVariable names the file whose Markdown GitHub shows with the run.
const stepSummaryVariable = "GITHUB_STEP_SUMMARY"

// renderGitHub annotates a workflow with plan on w, and appends its Markdown to the
// summary of the step, if there is one.
func (a *app) renderGitHub(w io.Writer, plan *planner.Plan, v view) error {
	if err := render.GitHubPlan(w, plan, v.guards, a.inRepository()); err != nil {
		return err
	}
	path, _ := a.env(stepSummaryVariable)
	if path == "" {
		a.say("no summary: %s names no file, so this is no step of a workflow of GitHub", stepSummaryVariable)
		return nil
	}
	err := appendTo(path, func(f io.Writer) error {
		v.format = "markdown"
		if err := a.render(f, plan, v); err != nil {
			return err
		}
		_, err := io.WriteString(f, "\n")
		return err
	})
	if err != nil {
		return hinted(fmt.Errorf("write the summary of the step: %w", err), stepSummaryVariable+" must name a file that can be appended to; without it only annotations are made")
	}
	return nil
}

// noPolicy annotates a workflow with what is wrong with a policy that err says is not
// valid, so that no plan is made of it.
func (a *app) noPolicy(err error) error {
	var problems policy.Problems
	if !errors.As(err, &problems) {
		return err
	}
	if failed := a.awaitDone(func() error { return render.GitHub(a.stdout, problems, nil, a.inRepository()) }); failed != nil {
		return failed
	}
	return err
}

// inRepository returns what names a file from the root of the repository that GitHub
// checked out: annotations find their place only then, and a step may work in a folder
// below it. Outside of it a file keeps its name.
func (a *app) inRepository() func(file string) string {
	root, _ := a.env("GITHUB_WORKSPACE")
	here, err := os.Getwd()
	if root == "" || err != nil {
		return filepath.Clean
	}
	resolved := func(path string) string {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		return filepath.Clean(path)
	}
	root, here = resolved(root), resolved(here)
	return func(file string) string {
		path := file
		if !filepath.IsAbs(path) {
			path = filepath.Join(here, path)
		}
		below, err := filepath.Rel(root, path)
		if err != nil || !filepath.IsLocal(below) {
			return filepath.Clean(file)
		}
		return filepath.ToSlash(below)
	}
}

// appendTo appends to a plain file, which is made if it is not there.
func appendTo(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a plain file", render.Quote(path))
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// ciLinks returns where the CI system that runs this shows the run, and what it keeps
// of it.
func (a *app) ciLinks() render.Links {
	run := strings.TrimSuffix(a.ciSource().Build, "/")
	set := func(name string) bool {
		value, _ := a.env(name)
		return value != ""
	}
	l := render.Links{Run: run}
	switch {
	case run == "":
	case set("GITHUB_RUN_ID"):
		l.Artifacts = run + "#artifacts"
	case set("CI_JOB_URL"):
		l.Artifacts = run + "/artifacts/browse"
	case set("BUILD_BUILDID"):
		l.Artifacts = run + "&view=artifacts&type=publishedArtifacts"
	case set("JENKINS_URL"):
		l.Artifacts = run + "/artifact/"
	}
	return l
}
