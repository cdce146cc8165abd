package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"privsync/cmd/privsync/internal/render"
	"privsync/planner"
	"privsync/policy"
)

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
