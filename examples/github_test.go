package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// workflow is the part of a GitHub workflow that the recipe uses.
type workflow struct {
	Permissions map[string]string  `yaml:"permissions"`
	Env         map[string]string  `yaml:"env"`
	Jobs        map[string]ghJob   `yaml:"jobs"`
	Defaults    map[string]ghShell `yaml:"defaults"`
}

type ghShell struct {
	Shell string `yaml:"shell"`
}

type ghJob struct {
	If          string            `yaml:"if"`
	Needs       string            `yaml:"needs"`
	Environment string            `yaml:"environment"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency struct {
		Group  string `yaml:"group"`
		Cancel bool   `yaml:"cancel-in-progress"`
	} `yaml:"concurrency"`
	Steps []ghStep `yaml:"steps"`
}

type ghStep struct {
	Name string            `yaml:"name"`
	ID   string            `yaml:"id"`
	If   string            `yaml:"if"`
	Uses string            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
}

func loadWorkflow(t *testing.T) workflow {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(read(t, "ci/github-actions.yml")), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// ghStub plays the calls of gh that the recipe makes, from files in $STUB.
const ghStub = `
[ -n "${GH_TOKEN:-}" ] || { echo 'gh: no token' >&2; exit 4; }
echo "gh $*" >>"$STUB/gh.log"
[ "$1" = api ] || exit 64
shift
method=GET path='' body=''
while [ $# -gt 0 ]; do
  case "$1" in
    --paginate | --silent) ;;
    --method) method=$2; shift ;;
    -F) body=${2#body=@}; shift ;;
    repos/*) path=$1 ;;
    *) exit 64 ;;
  esac
  shift
done
save() { cat >"$STUB/new" && mv "$STUB/new" "$STUB/comments.json"; }
case "$method $path" in
  'GET repos/acme/bi/issues/7/comments?'*) cat "$STUB/comments.json" ;;
  'POST repos/acme/bi/issues/7/comments')
    jq --rawfile body "$body" '. + [{id: (length + 100), user: {login: "github-actions[bot]"}, body: $body}]' "$STUB/comments.json" | save ;;
  'PATCH repos/acme/bi/issues/comments/'*)
    jq --rawfile body "$body" --argjson id "${path##*/}" 'map(if .id == $id then .body = $body else . end)' "$STUB/comments.json" | save ;;
  'GET repos/acme/bi/commits/'*) cat "$STUB/pulls.json" ;;
  'GET repos/acme/bi/pulls?state=all&head=acme:feature&'*) cat "$STUB/branch.json" ;;
  'GET repos/acme/bi/actions/runs?'*) cat "$STUB/runs.json" ;;
  'GET repos/acme/bi/actions/runs/'*/artifacts*)
    run=${path#repos/acme/bi/actions/runs/}; run=${run%%/*}; name=${path#*name=}; name=${name%%&*}
    [ -d "$STUB/artifacts/$run/$name" ] || { echo '{"artifacts": []}'; exit; }
    rm -f "$STUB/$run.zip"
    (cd "$STUB/artifacts/$run/$name" && zip -q -X "$STUB/$run.zip" ./*)
    jq -n --argjson run "$run" --arg name "$name" --arg head "$HEAD_COMMIT" --arg digest "sha256:${ARTIFACT_DIGEST:-$(sha256sum <"$STUB/$run.zip" | cut -d ' ' -f 1)}" \
      '{artifacts: [{id: ($run + 1000), name: $name, expired: false, digest: $digest, workflow_run: {id: $run, head_sha: $head}},
                    {id: 1, name: $name, expired: true, workflow_run: {id: $run, head_sha: $head}}]}' ;;
  'GET repos/acme/bi/actions/artifacts/'*/zip)
    id=${path#repos/acme/bi/actions/artifacts/}; cat "$STUB/$((${id%%/*} - 1000)).zip" ;;
  *) echo "gh: $method $path is not known" >&2; exit 1 ;;
esac
`

// downloadStub plays curl for the release archive.
const downloadStub = `
while [ $# -gt 0 ]; do
  case "$1" in
    --output) out=$2; shift ;;
    --retry) shift ;;
    --*) ;;
    *) url=$1 ;;
  esac
  shift
done
[ "$url" = "$PRIVSYNC_ARCHIVE_URL" ] || exit 22
cp "$ARCHIVE" "$out"
`

// runner is a stand-in for GitHub's: it runs the steps of a job in a checked-out
// repository.
type runner struct {
	t        *testing.T
	workflow workflow
	dir      string // the repository
	state    string // what the stubs and artifacts are kept in
	tools    string // the stubs
	program  program
	context  map[string]string // values of expressions
	override map[string]string // values that replace the workflow's env
	summary  string
	digest   string // of every artifact, instead of its own
}

const (
	ghHead  = "1111111111111111111111111111111111111111"
	ghMerge = "2222222222222222222222222222222222222222"
)

func newRunner(t *testing.T, p program, policy, url string) *runner {
	t.Helper()
	r := &runner{
		t: t, workflow: loadWorkflow(t), dir: repository(t, policy), state: t.TempDir(), program: p,
		tools: stubs(t, map[string]string{"gh": ghStub, "curl": downloadStub}),
		context: map[string]string{
			"vars.PRIVSYNC_URL": url, "vars.PRIVSYNC_USERNAME": "svc_privsync", "secrets.PRIVSYNC_PASSWORD": "privsync",
			"github.token": "stub-token", "github.event.pull_request.number": "7", "github.event.pull_request.head.sha": ghHead,
			"github.run_id": "500", "github.run_attempt": "1",
		},
		override: map[string]string{"PRIVSYNC_ARCHIVE_SHA256": p.sum},
	}
	// Somebody else's comment that bears the marker, and one that only quotes it.
	r.save("comments.json", `[{"id": 1, "user": {"login": "mallory"}, "body": "<!-- privsync plan --> mine"},
		{"id": 2, "user": {"login": "github-actions[bot]"}, "body": "another workflow about <!-- privsync plan -->"}]`)
	r.save("pulls.json", fmt.Sprintf(`[{"number": 5, "merged_at": null, "merge_commit_sha": %q, "head": {"sha": "x", "ref": "x"}, "base": {"ref": "main"}},
		{"number": 7, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": %q, "head": {"sha": %q, "ref": "feature"}, "base": {"ref": "main"}}]`, ghMerge, ghMerge, ghHead))
	r.save("branch.json", fmt.Sprintf(`[{"number": 7, "head": {"sha": %q}}, {"number": 3, "head": {"sha": "older"}}]`, ghHead))
	// The run to find, and runs that a careless search would take instead.
	run := func(id int, repository, path, conclusion string) string {
		return ghRun(id, repository, path, conclusion, "feature", `{"number": 7, "base": {"ref": "main"}}`)
	}
	const own = ".github/workflows/privsync.yml"
	r.save("runs.json", fmt.Sprintf(`{"workflow_runs": [%s, %s, %s, %s, %s]}`,
		run(500, "acme/bi", own, "success"), run(499, "acme/bi", own, "success"), run(901, "mallory/bi", own, "success"),
		run(902, "acme/bi", ".github/workflows/evil.yml", "success"), run(903, "acme/bi", own, "failure")))
	return r
}

// ghRun is a run in a list of runs, for pull requests given as JSON.
func ghRun(id int, repository, path, conclusion, branch, pulls string) string {
	return fmt.Sprintf(`{"id": %d, "event": "pull_request", "conclusion": %q, "head_sha": %q, "head_branch": %q, "path": %q,
		"head_repository": {"full_name": %q}, "pull_requests": [%s]}`, id, conclusion, ghHead, branch, path, repository, pulls)
}

func (r *runner) save(name, text string) { write(r.t, filepath.Join(r.state, name), text) }

var expression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// run runs a job and returns what it printed and the exit code of the first step
// that failed.
func (r *runner) run(job string) (string, int) {
	r.t.Helper()
	var log strings.Builder
	code := 0
	path := r.tools + string(os.PathListSeparator) + os.Getenv("PATH")
	outputs := map[string]string{}
	evaluate := func(s string) string {
		return expression.ReplaceAllStringFunc(s, func(m string) string {
			name := expression.FindStringSubmatch(m)[1]
			if v, ok := outputs[name]; ok {
				return v
			}
			v, ok := r.context[name]
			if !ok {
				r.t.Fatalf("job %s uses %s, which this test does not know", job, name)
			}
			return v
		})
	}
	temp := r.t.TempDir()
	files := map[string]string{}
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"} {
		files[name] = filepath.Join(temp, name)
		write(r.t, files[name], "")
	}
	for _, step := range r.workflow.Jobs[job].Steps {
		switch step.If {
		case "":
			if code != 0 {
				continue
			}
		case "always()":
		case "hashFiles('plan.json') != ''":
			if _, err := os.Stat(filepath.Join(r.dir, "plan.json")); err != nil || code != 0 {
				continue
			}
		default:
			r.t.Fatalf("step %q has a condition that this test does not know: %s", step.Name, step.If)
		}
		if step.Uses != "" {
			if strings.HasPrefix(step.Uses, "actions/upload-artifact@") {
				r.upload(evaluate(step.With["name"]), step.With["path"])
			}
			continue
		}
		env := []string{
			"PATH=" + path, "HOME=" + temp, "TMPDIR=" + temp, "RUNNER_TEMP=" + temp, "STUB=" + r.state, "ARCHIVE=" + r.program.archive,
			"GITHUB_REPOSITORY=acme/bi", "GITHUB_SHA=" + ghMerge, "GITHUB_REF_NAME=main", "HEAD_COMMIT=" + ghHead, "ARTIFACT_DIGEST=" + r.digest,
			"GITHUB_WORKFLOW_REF=acme/bi/.github/workflows/privsync.yml@refs/heads/main",
		}
		for name, file := range files {
			env = append(env, name+"="+file)
		}
		for _, values := range []map[string]string{r.workflow.Env, r.override, step.Env} {
			for k, v := range values {
				env = append(env, k+"="+evaluate(v))
			}
		}
		out, exit := shell(r.t, r.dir, "set -u\n"+step.Run, env)
		fmt.Fprintf(&log, "## %s\n%s", step.Name, out)
		if code == 0 {
			code = exit
		}
		for line := range strings.Lines(read(r.t, files["GITHUB_OUTPUT"])) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			outputs["steps."+step.ID+".outputs."+k] = v
		}
		write(r.t, files["GITHUB_OUTPUT"], "")
		for line := range strings.Lines(read(r.t, files["GITHUB_PATH"])) {
			path = strings.TrimSuffix(line, "\n") + string(os.PathListSeparator) + path
		}
		write(r.t, files["GITHUB_PATH"], "")
	}
	r.summary = read(r.t, files["GITHUB_STEP_SUMMARY"])
	return log.String(), code
}

// upload keeps the files of an artifact as those of run 500.
func (r *runner) upload(name, paths string) {
	for _, path := range strings.Fields(paths) {
		if data, err := os.ReadFile(filepath.Join(r.dir, path)); err == nil {
			write(r.t, filepath.Join(r.state, "artifacts", "500", name, path), string(data))
		}
	}
}

func (r *runner) comments() []string {
	r.t.Helper()
	var rows []struct{ Body string }
	if err := json.Unmarshal([]byte(read(r.t, filepath.Join(r.state, "comments.json"))), &rows); err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, row := range rows {
		out = append(out, row.Body)
	}
	return out
}

func testGitHub(t *testing.T, p program) {
	policy := read(t, "policy.yaml")

	t.Run("from pull request to merge", func(t *testing.T) {
		url, requests := p.simulator(t)
		r := newRunner(t, p, policy, url)
		if out, code := r.run("validate"); code != 0 {
			t.Fatalf("validate exits with %d:\n%s", code, out)
		}
		for range 2 { // the second push edits the comment of the first
			out, code := r.run("plan")
			if code != 0 {
				t.Fatalf("plan exits with %d:\n%s", code, out)
			}
			mustContain(t, "the log of plan", out, "Merging applies exactly this plan.")
		}
		if n := patches(t, requests); n != 0 {
			t.Fatalf("planning wrote %d times", n)
		}
		comments := r.comments()
		if len(comments) != 3 || !strings.HasPrefix(comments[0], "<!-- privsync plan --> mine") || !strings.HasPrefix(comments[1], "another") {
			t.Fatalf("comments = %q, want the two of others untouched and one of privsync", comments)
		}
		mustContain(t, "the comment", comments[2], "<!-- privsync plan -->\n", "Night Shift", ghHead, "valid for 72h")
		if strings.Contains(read(t, filepath.Join(r.state, "gh.log")), "privsync plan -->") {
			t.Error("the comment's text stands in the arguments of gh")
		}
		out, code := r.run("apply")
		if code != 0 {
			t.Fatalf("apply exits with %d:\n%s", code, out)
		}
		mustContain(t, "the log of apply", out, "Done and verified.")
		mustContain(t, "the summary of apply", r.summary, "Night Shift")
		mustContain(t, "the report", read(t, filepath.Join(r.state, "artifacts", "500", "privsync-report-500-1", "report.json")), `"outcome":"succeeded"`)
		if patches(t, requests) == 0 {
			t.Fatal("apply wrote nothing")
		}
		out, _ = r.run("plan")
		mustContain(t, "the log of the plan after the apply", out, "already matches this policy")
	})

	t.Run("invalid policy", func(t *testing.T) {
		r := newRunner(t, p, strings.Replace(policy, "mode: authoritative", "mode: authoritativ", 1), "http://127.0.0.1:1")
		out, code := r.run("validate")
		if code != 1 {
			t.Errorf("validate exits with %d, want 1", code)
		}
		mustContain(t, "the log of validate", out, "::error file=policy/policy.yaml,line=")
	})

	t.Run("guard", func(t *testing.T) {
		url, _ := p.simulator(t)
		r := newRunner(t, p, strings.Replace(policy, "maxRevokes: 15", "maxRevokes: 0", 1), url)
		out, code := r.run("plan")
		if code != 3 {
			t.Errorf("plan exits with %d, want 3:\n%s", code, out)
		}
		comments := r.comments()
		mustContain(t, "the comment", comments[len(comments)-1], "Refused by a guard or a rule", "Night Shift")
	})

	t.Run("wrong password", func(t *testing.T) {
		url, _ := p.simulator(t)
		r := newRunner(t, p, policy, url)
		r.context["secrets.PRIVSYNC_PASSWORD"] = "wrong-secret"
		out, code := r.run("plan")
		if code != 1 {
			t.Errorf("plan exits with %d, want 1:\n%s", code, out)
		}
		comments := r.comments()
		mustContain(t, "the comment", comments[len(comments)-1], "no plan that could be applied (exit code 1)")
		if _, err := os.Stat(filepath.Join(r.state, "artifacts")); err == nil {
			t.Error("a plan that failed was kept")
		}
		if strings.Contains(out+comments[len(comments)-1], "wrong-secret") {
			t.Error("the password is in the log or in the comment")
		}
	})

	t.Run("no server given", func(t *testing.T) {
		url, requests := p.simulator(t)
		// The policy names a server of its own: it must not be sent the password.
		r := newRunner(t, p, strings.Replace(policy, "kind: Policy", "kind: Policy\nenvironment: {url: '"+url+"'}", 1), "")
		if out, code := r.run("plan"); code == 0 || strings.Contains(out, "## Verdict") {
			t.Errorf("plan exits with %d without PRIVSYNC_URL:\n%s", code, out)
		}
		if _, err := os.Stat(requests); err == nil && read(t, requests) != "" {
			t.Error("requests were sent to the server that the policy names")
		}
	})

	t.Run("wrong archive", func(t *testing.T) {
		r := newRunner(t, p, policy, "http://127.0.0.1:1")
		r.override = nil
		if out, code := r.run("validate"); code == 0 || strings.Contains(out, "## Validate") {
			t.Errorf("an archive with another checksum was used (exit %d):\n%s", code, out)
		}
	})

	// What must not be applied. Each spoils one thing after a good plan.
	url, requests := p.simulator(t)
	planned := newRunner(t, p, policy, url)
	if out, code := planned.run("plan"); code != 0 {
		t.Fatalf("plan exits with %d:\n%s", code, out)
	}
	for name, c := range map[string]struct {
		spoil func(r *runner)
		want  string
	}{
		"no pull request": {func(r *runner) { r.save("pulls.json", "[]") }, "is not the merge of a pull request"},
		"only a fork's run": {func(r *runner) {
			r.save("runs.json", fmt.Sprintf(`{"workflow_runs": [{"id": 500, "event": "pull_request", "conclusion": "success", "head_sha": %q,
				"head_branch": "feature", "pull_requests": [], "path": ".github/workflows/privsync.yml", "head_repository": {"full_name": "mallory/bi"}}]}`, ghHead))
		}, "has no successful plan"},
		"another workflow's run": {func(r *runner) {
			r.save("runs.json", strings.ReplaceAll(read(r.t, filepath.Join(r.state, "runs.json")), "/privsync.yml", "/other.yml"))
		}, "has no successful plan"},
		"merged elsewhere": {func(r *runner) {
			r.save("pulls.json", strings.ReplaceAll(read(r.t, filepath.Join(r.state, "pulls.json")), `"ref": "main"`, `"ref": "release"`))
		}, "is not the merge of a pull request into main"},
		"only the run of another pull request": {func(r *runner) {
			r.save("runs.json", `{"workflow_runs": [`+ghRun(500, "acme/bi", ".github/workflows/privsync.yml", "success", "feature", `{"number": 8, "base": {"ref": "evil"}}`)+`]}`)
		}, "has no successful plan"},
		"only a run for another base": {func(r *runner) {
			r.save("runs.json", `{"workflow_runs": [`+ghRun(500, "acme/bi", ".github/workflows/privsync.yml", "success", "feature", `{"number": 7, "base": {"ref": "evil"}}`)+`]}`)
		}, "has no successful plan"},
		"only a run of another branch": {func(r *runner) {
			r.save("runs.json", `{"workflow_runs": [`+ghRun(500, "acme/bi", ".github/workflows/privsync.yml", "success", "evil", "")+`]}`)
		}, "has no successful plan"},
		"a second pull request had the head": {func(r *runner) {
			r.save("branch.json", fmt.Sprintf(`[{"number": 8, "head": {"sha": %q}}, {"number": 7, "head": {"sha": %q}}]`, ghHead, ghHead))
		}, "another pull request (#8) has the head commit of #7"},
		"another artifact": {func(r *runner) { r.digest = strings.Repeat("0", 64) }, "is not the one that GitHub lists"},
		"plan of another policy": {func(r *runner) {
			// What a run for a base of the attacker's own leaves: a good plan, and a lie about its policy.
			other := newRunner(r.t, p, policy+"\n# of another base\n", url)
			if out, code := other.run("plan"); code != 0 {
				r.t.Fatalf("plan exits with %d:\n%s", code, out)
			}
			write(r.t, filepath.Join(r.state, "artifacts", "500", "privsync-plan-7", "plan.json"), read(r.t, filepath.Join(other.state, "artifacts", "500", "privsync-plan-7", "plan.json")))
		}, "was made from other policy files"},
		"forged plan that lies about its files": {func(r *runner) {
			other := newRunner(r.t, p, generous(r.t, policy), url)
			if out, code := other.run("plan"); code != 0 {
				r.t.Fatalf("plan exits with %d:\n%s", code, out)
			}
			const plan = "artifacts/500/privsync-plan-7/plan.json"
			forge(r.t, filepath.Join(r.state, plan), filepath.Join(other.state, plan))
		}, "which the policy at hand does not"},
		"plan for another server": {func(r *runner) { r.context["vars.PRIVSYNC_URL"], _ = p.simulator(r.t) }, "plan refused: it was made for"},
		"artifact gone": {func(r *runner) {
			if err := os.RemoveAll(filepath.Join(r.state, "artifacts")); err != nil {
				r.t.Fatal(err)
			}
		}, "is gone"},
		"main moved": {func(r *runner) {
			write(r.t, filepath.Join(r.dir, "policy", "more.yaml"), "apiVersion: privsync/v1\nkind: Policy\nunlisted: report\n")
			commit(r.t, r.dir)
		}, "is not the one that pull request #7 was planned with"},
		"edited plan": {func(r *runner) {
			plan := filepath.Join(r.state, "artifacts", "500", "privsync-plan-7", "plan.json")
			write(r.t, plan, strings.Replace(read(r.t, plan), "Night Shift", "Day Shift", 1))
		}, ""},
	} {
		t.Run("refuses: "+name, func(t *testing.T) {
			r := newRunner(t, p, policy, url)
			r.dir, r.state = clone(t, planned.dir), clone(t, planned.state)
			c.spoil(r)
			out, code := r.run("apply")
			if code == 0 || c.want != "" && code != 3 {
				t.Errorf("apply exits with %d, want 3:\n%s", code, out)
			}
			mustContain(t, "the log", out, c.want)
			if n := patches(t, requests); n != 0 {
				t.Errorf("%d writes were sent", n)
			}
		})
	}
}

// Who gets what is decided by the workflow's settings, which no run can show.
func TestGitHubWorkflowIsSafe(t *testing.T) {
	text := read(t, "ci/github-actions.yml")
	w := loadWorkflow(t)
	if strings.Contains(text, "pull_request_target") {
		t.Error("pull_request_target gives secrets to forks")
	}
	if w.Permissions == nil || len(w.Permissions) != 0 {
		t.Errorf("permissions of the workflow = %v, want none", w.Permissions)
	}
	if got := w.Defaults["run"].Shell; got != "bash -euo pipefail {0}" {
		t.Errorf("shell = %q", got)
	}
	for name, job := range w.Jobs {
		for scope, access := range job.Permissions {
			if access != "read" && !(name == "plan" && scope == "pull-requests") {
				t.Errorf("job %s has %s: %s", name, scope, access)
			}
		}
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "${{") {
				t.Errorf("step %q of %s pastes an expression into a script", step.Name, name)
			}
			if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@[0-9a-f]{40}$`).MatchString(step.Uses) {
				t.Errorf("step %q of %s uses %s, which is not pinned to a commit of GitHub's own actions", step.Name, name, step.Uses)
			}
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
				t.Errorf("%s leaves the token in the work tree", name)
			}
			for _, value := range step.Env {
				if strings.Contains(value, "secrets.") && (job.Environment == "" || !strings.Contains(step.Run, "PRIVSYNC_URL:?")) {
					t.Errorf("step %q of %s has a secret outside an environment or without PRIVSYNC_URL", step.Name, name)
				}
				if strings.Contains(value, "github.token") && strings.Contains(step.Run, "privsync plan -f") {
					t.Errorf("step %q of %s shows the token to privsync", step.Name, name)
				}
			}
		}
	}
	mustContain(t, "the condition of plan", w.Jobs["plan"].If, "head.repo.full_name == github.repository", "'pull_request'")
	if got := w.Jobs["apply"].If; got != "github.event_name == 'push'" {
		t.Errorf("condition of apply = %q", got)
	}
	if c := w.Jobs["apply"].Concurrency; c.Group != "privsync-apply" || c.Cancel {
		t.Errorf("concurrency of apply = %+v, want one group that is never cancelled", c)
	}
}
