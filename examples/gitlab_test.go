package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// gitlabFile is the part of a GitLab pipeline that the recipe uses.
type gitlabFile struct {
	Stages    []string          `yaml:"stages"`
	Variables map[string]string `yaml:"variables"`
	Base      gitlabJob         `yaml:".privsync"`
	Validate  gitlabJob         `yaml:"validate"`
	Plan      gitlabJob         `yaml:"plan"`
	Apply     gitlabJob         `yaml:"apply"`
}

type gitlabJob struct {
	Extends       string   `yaml:"extends"`
	Image         string   `yaml:"image"`
	Stage         string   `yaml:"stage"`
	BeforeScript  []string `yaml:"before_script"`
	Script        []string `yaml:"script"`
	ResourceGroup string   `yaml:"resource_group"`
	Environment   struct {
		Name string `yaml:"name"`
	} `yaml:"environment"`
	Rules []struct {
		If   string `yaml:"if"`
		When string `yaml:"when"`
	} `yaml:"rules"`
	Artifacts struct {
		When  string   `yaml:"when"`
		Paths []string `yaml:"paths"`
	} `yaml:"artifacts"`
}

// gitlabCurl plays curl for the calls of GitLab's API that the recipe makes, from
// files in $STUB.
const gitlabCurl = `
method=GET out=/dev/stdout url='' body='' header=''
while [ $# -gt 0 ]; do
  case "$1" in
    --output) out=$2; shift ;;
    --request) method=$2; shift ;;
    --header) header=$2; shift ;;
    --data-urlencode) body=${2#body@}; shift ;;
    --retry) shift ;;
    --fail | --silent | --show-error | --location) ;;
    http*) url=$1 ;;
    *) exit 64 ;;
  esac
  shift
done
[ "$header" = 'Authorization: Bearer stub-token' ] || exit 22
echo "$method $url" >>"$STUB/curl.log"
save() { cat >"$STUB/new" && mv "$STUB/new" "$STUB/notes.json"; }
project=https://gitlab.example.com/api/v4/projects/9
case "$method $url" in
  'GET https://gitlab.example.com/api/v4/user') echo '{"id": 42}' ;;
  "GET $project/merge_requests/7/notes?per_page=100&page="*)
    jq --argjson page "${url##*=}" '.[($page - 1) * 100 : $page * 100]' "$STUB/notes.json" ;;
  "POST $project/merge_requests/7/notes")
    jq --rawfile body "$body" '. + [{id: (length + 1000), author: {id: 42}, body: $body}]' "$STUB/notes.json" | save ;;
  "PUT $project/merge_requests/7/notes/"*)
    jq --rawfile body "$body" --argjson id "${url##*/}" 'map(if .id == $id then .body = $body else . end)' "$STUB/notes.json" | save ;;
  "GET $project/repository/commits/$CI_COMMIT_SHA/merge_requests") cat "$STUB/merge_requests.json" >"$out" ;;
  "GET $project/merge_requests/7") cat "$STUB/merge_request.json" >"$out" ;;
  "GET $project/pipelines/900/jobs?per_page=100") cat "$STUB/jobs.json" >"$out" ;;
  "GET $project/jobs/"*/artifacts/*)
    file="$STUB/artifacts/${url#"$project/jobs/"}"
    [ -f "$file" ] || exit 22
    cp "$file" "$out" ;;
  *) exit 22 ;;
esac
`

// pipeline is a stand-in for a GitLab runner.
type pipeline struct {
	t     *testing.T
	file  gitlabFile
	dir   string
	state string
	tools string
	env   map[string]string
}

func loadGitLab(t *testing.T) gitlabFile {
	t.Helper()
	var f gitlabFile
	if err := yaml.Unmarshal([]byte(read(t, "ci/gitlab-ci.yml")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func newPipeline(t *testing.T, p program, policy, url string) *pipeline {
	t.Helper()
	temp := t.TempDir()
	l := &pipeline{
		t: t, file: loadGitLab(t), dir: repository(t, policy), state: t.TempDir(),
		tools: stubs(t, map[string]string{"curl": gitlabCurl, "privsync": `exec "$PROGRAM" "$@"`}),
	}
	l.env = map[string]string{
		"PATH": l.tools + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": temp, "TMPDIR": temp, "STUB": l.state, "PROGRAM": p.path,
		"CI_API_V4_URL": "https://gitlab.example.com/api/v4", "CI_PROJECT_ID": "9", "CI_MERGE_REQUEST_IID": "7",
		"CI_COMMIT_SHA": ghMerge, "CI_COMMIT_BRANCH": "main",
		"PRIVSYNC_URL": url, "PRIVSYNC_USERNAME": "svc_privsync", "PRIVSYNC_PASSWORD": "privsync", "GITLAB_TOKEN": "stub-token",
	}
	for k, v := range l.file.Variables {
		l.env[k] = v
	}
	// A page of notes by others, one of which bears the marker.
	var notes []string
	for i := range 100 {
		notes = append(notes, fmt.Sprintf(`{"id": %d, "author": {"id": 1}, "body": "<!-- privsync plan -->\nof somebody else"}`, i+1))
	}
	l.save("notes.json", "["+strings.Join(notes, ",")+"]")
	l.save("merge_requests.json", fmt.Sprintf(`[
		{"iid": 6, "state": "opened", "source_project_id": 9, "target_project_id": 9, "target_branch": "main", "merge_commit_sha": null, "squash_commit_sha": null, "sha": %q},
		{"iid": 7, "state": "merged", "source_project_id": 9, "target_project_id": 9, "target_branch": "main", "merge_commit_sha": %q, "squash_commit_sha": null, "sha": %q}]`,
		ghMerge, ghMerge, ghHead))
	l.save("merge_request.json", `{"iid": 7, "head_pipeline": {"id": 900, "status": "success", "source": "merge_request_event", "project_id": 9, "ref": "refs/merge-requests/7/head"}}`)
	const own = `"pipeline": {"id": 900}, "ref": "refs/merge-requests/7/head"`
	l.save("jobs.json", `[{"id": 70, "name": "plan", "status": "success", `+own+`}, {"id": 69, "name": "plan", "status": "success", `+own+`},
		{"id": 71, "name": "plan", "status": "failed", `+own+`}, {"id": 72, "name": "validate", "status": "success", `+own+`},
		{"id": 73, "name": "plan", "status": "success", "pipeline": {"id": 901}, "ref": "refs/merge-requests/8/head"}]`)
	return l
}

func (l *pipeline) save(name, text string) { write(l.t, filepath.Join(l.state, name), text) }

// run runs a job as GitLab does: all of it is one script. Its artifacts are kept
// as those of job 70.
func (l *pipeline) run(job gitlabJob) (string, int) {
	l.t.Helper()
	var env []string
	for k, v := range l.env {
		env = append(env, k+"="+v)
	}
	out, code := shell(l.t, l.dir, strings.Join(slices.Concat(l.file.Base.BeforeScript, job.Script), "\n"), env)
	if code == 0 || job.Artifacts.When == "always" {
		for _, path := range job.Artifacts.Paths {
			if data, err := os.ReadFile(filepath.Join(l.dir, path)); err == nil {
				l.save("artifacts/70/artifacts/"+path, string(data))
			}
		}
	}
	return out, code
}

func (l *pipeline) notes() []string {
	l.t.Helper()
	var rows []struct{ Body string }
	if err := json.Unmarshal([]byte(read(l.t, filepath.Join(l.state, "notes.json"))), &rows); err != nil {
		l.t.Fatal(err)
	}
	var out []string
	for _, row := range rows {
		out = append(out, row.Body)
	}
	return out
}

func testGitLab(t *testing.T, p program) {
	policy := read(t, "policy.yaml")

	t.Run("from merge request to merge", func(t *testing.T) {
		url, requests := p.simulator(t)
		l := newPipeline(t, p, policy, url)
		if out, code := l.run(l.file.Validate); code != 0 {
			t.Fatalf("validate exits with %d:\n%s", code, out)
		}
		for range 2 { // the second push edits the note of the first
			if out, code := l.run(l.file.Plan); code != 0 {
				t.Fatalf("plan exits with %d:\n%s", code, out)
			}
		}
		notes := l.notes()
		if len(notes) != 101 {
			t.Fatalf("%d notes, want one besides the 100 of others", len(notes))
		}
		for _, note := range notes[:100] {
			if !strings.HasSuffix(note, "of somebody else") {
				t.Fatalf("somebody else's note became %q", note)
			}
		}
		mustContain(t, "the note", notes[100], "<!-- privsync plan -->\n", "Night Shift", "Merging applies exactly this plan.")
		if n := patches(t, requests); n != 0 {
			t.Fatalf("planning wrote %d times", n)
		}
		out, code := l.run(l.file.Apply)
		if code != 0 {
			t.Fatalf("apply exits with %d:\n%s", code, out)
		}
		mustContain(t, "the log of apply", out, "Done and verified.", "Night Shift")
		mustContain(t, "the report", read(t, filepath.Join(l.state, "artifacts/70/artifacts/report.json")), `"outcome":"succeeded"`)
		if patches(t, requests) == 0 {
			t.Fatal("apply wrote nothing")
		}
		out, _ = l.run(l.file.Plan)
		mustContain(t, "the log of the plan after the apply", out, "already matches this policy")
	})

	t.Run("guard", func(t *testing.T) {
		url, _ := p.simulator(t)
		l := newPipeline(t, p, strings.Replace(policy, "maxRevokes: 15", "maxRevokes: 0", 1), url)
		if out, code := l.run(l.file.Plan); code != 3 {
			t.Errorf("plan exits with %d, want 3:\n%s", code, out)
		}
		mustContain(t, "the note", l.notes()[100], "Refused by a guard or a rule")
	})

	t.Run("no server given", func(t *testing.T) {
		url, requests := p.simulator(t)
		l := newPipeline(t, p, strings.Replace(policy, "kind: Policy", "kind: Policy\nenvironment: {url: '"+url+"'}", 1), "")
		if out, code := l.run(l.file.Plan); code == 0 || len(l.notes()) != 100 {
			t.Errorf("plan exits with %d without PRIVSYNC_URL:\n%s", code, out)
		}
		if _, err := os.Stat(requests); err == nil && read(t, requests) != "" {
			t.Error("requests were sent to the server that the policy names")
		}
	})

	url, requests := p.simulator(t)
	planned := newPipeline(t, p, policy, url)
	if out, code := planned.run(planned.file.Plan); code != 0 {
		t.Fatalf("plan exits with %d:\n%s", code, out)
	}
	for name, c := range map[string]struct {
		spoil func(l *pipeline)
		want  string
	}{
		"no merge request": {func(l *pipeline) { l.save("merge_requests.json", "[]") }, "is not the merge of a merge request"},
		"a fork's merge request": {func(l *pipeline) {
			l.save("merge_requests.json", strings.ReplaceAll(read(l.t, filepath.Join(l.state, "merge_requests.json")), `"source_project_id": 9`, `"source_project_id": 8`))
		}, "is not the merge of a merge request"},
		"failed pipeline": {func(l *pipeline) {
			l.save("merge_request.json", `{"head_pipeline": {"id": 900, "status": "failed", "source": "merge_request_event"}}`)
		}, "did not succeed"},
		"merged elsewhere": {func(l *pipeline) {
			l.save("merge_requests.json", strings.ReplaceAll(read(l.t, filepath.Join(l.state, "merge_requests.json")), `"target_branch": "main"`, `"target_branch": "evil"`))
		}, "is not the merge of a merge request"},
		"a pipeline of another merge request for the commit": {func(l *pipeline) {
			l.save("merge_request.json", `{"head_pipeline": {"id": 900, "status": "success", "source": "merge_request_event", "project_id": 9, "ref": "refs/merge-requests/8/head"}}`)
		}, "is not its own"},
		"a job of another merge request": {func(l *pipeline) {
			l.save("jobs.json", strings.ReplaceAll(read(l.t, filepath.Join(l.state, "jobs.json")), "/7/head", "/8/head"))
		}, "has no plan"},
		"plan of another policy": {func(l *pipeline) {
			other := newPipeline(l.t, p, policy+"\n# of another target\n", url)
			if out, code := other.run(other.file.Plan); code != 0 {
				l.t.Fatalf("plan exits with %d:\n%s", code, out)
			}
			l.save("artifacts/70/artifacts/plan.json", read(l.t, filepath.Join(other.state, "artifacts/70/artifacts/plan.json")))
		}, "was made from other policy files"},
		"forged plan that lies about its files": {func(l *pipeline) {
			other := newPipeline(l.t, p, generous(l.t, policy), url)
			if out, code := other.run(other.file.Plan); code != 0 {
				l.t.Fatalf("plan exits with %d:\n%s", code, out)
			}
			const plan = "artifacts/70/artifacts/plan.json"
			forge(l.t, filepath.Join(l.state, plan), filepath.Join(other.state, plan))
		}, "which the policy at hand does not"},
		"plan for another server": {func(l *pipeline) { l.env["PRIVSYNC_URL"], _ = p.simulator(l.t) }, "plan refused: it was made for"},
		"no pipeline":             {func(l *pipeline) { l.save("merge_request.json", `{"head_pipeline": null}`) }, "did not succeed"},
		"no plan":                 {func(l *pipeline) { l.save("jobs.json", `[]`) }, "has no plan"},
		"artifact gone": {func(l *pipeline) {
			if err := os.RemoveAll(filepath.Join(l.state, "artifacts")); err != nil {
				l.t.Fatal(err)
			}
		}, "is gone"},
		"main moved": {func(l *pipeline) {
			write(l.t, filepath.Join(l.dir, "policy", "more.yaml"), "apiVersion: privsync/v1\nkind: Policy\nunlisted: report\n")
			commit(l.t, l.dir)
		}, "is not the one that merge request !7 was planned with"},
		"edited plan": {func(l *pipeline) {
			plan := filepath.Join(l.state, "artifacts/70/artifacts/plan.json")
			write(l.t, plan, strings.Replace(read(l.t, plan), "Night Shift", "Day Shift", 1))
		}, ""},
	} {
		t.Run("refuses: "+name, func(t *testing.T) {
			l := newPipeline(t, p, policy, url)
			l.dir, l.state = clone(t, planned.dir), clone(t, planned.state)
			l.env["STUB"] = l.state
			c.spoil(l)
			out, code := l.run(l.file.Apply)
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

func TestGitLabPipelineIsSafe(t *testing.T) {
	f := loadGitLab(t)
	for name, job := range map[string]gitlabJob{"validate": f.Validate, "plan": f.Plan, "apply": f.Apply} {
		if job.Extends != ".privsync" || job.Stage != name || !slices.Contains(f.Stages, name) {
			t.Errorf("%s extends %q in stage %q", name, job.Extends, job.Stage)
		}
	}
	// What is installed where a secret is can take the secret along.
	for name, script := range map[string][]string{"before_script": f.Base.BeforeScript, "validate": f.Validate.Script, "plan": f.Plan.Script, "apply": f.Apply.Script} {
		for _, tool := range []string{"apk ", "apt", "dnf ", "yum ", "pip ", "pip3", "npm", "npx", "go install", "go run", "| sh", "| bash", "chmod", "docker"} {
			if strings.Contains(strings.Join(script, "\n"), tool) {
				t.Errorf("%s runs %q", name, tool)
			}
		}
	}
	if f.Base.Image != "$PRIVSYNC_IMAGE" || !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(f.Variables["PRIVSYNC_IMAGE"]) {
		t.Errorf("the image is %q, %q, which is not pinned by a digest", f.Base.Image, f.Variables["PRIVSYNC_IMAGE"])
	}
	if f.Validate.Environment.Name != "" {
		t.Error("validate, which forks run too, has an environment")
	}
	if len(f.Plan.Rules) != 1 || !strings.Contains(f.Plan.Rules[0].If, "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID") {
		t.Errorf("rules of plan = %+v, want one that leaves forks out", f.Plan.Rules)
	}
	if f.Plan.Environment.Name == f.Apply.Environment.Name {
		t.Error("plan and apply share an environment")
	}
	for _, rule := range f.Apply.Rules {
		if !strings.Contains(rule.If, "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH") || rule.When != "manual" && !strings.Contains(rule.If, `$PRIVSYNC_AUTO_APPLY == "true"`) {
			t.Errorf("apply runs by %+v", rule)
		}
	}
	if f.Apply.ResourceGroup == "" {
		t.Error("two applies can run at once")
	}
}
