package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testFleet runs the jobs of the recipes for many environments, each against a
// simulated server, with one state folder in place of the store in a database.
func testFleet(t *testing.T, p program) {
	t.Run("kubernetes cronjobs", func(t *testing.T) { testFleetCronJobs(t, p) })
	t.Run("kubernetes indexed job", func(t *testing.T) { testFleetIndexedJob(t, p) })
	t.Run("github matrix", func(t *testing.T) { testFleetGitHub(t, p) })
	t.Run("airflow", func(t *testing.T) { testFleetAirflow(t, p) })
}

// fleetWorld is a folder with the policy of the recipes, and the environment of a job.
func fleetWorld(t *testing.T, p program) (dir string, env []string) {
	t.Helper()
	url, _ := p.simulator(t)
	dir = t.TempDir()
	write(t, filepath.Join(dir, "policy", "policy.yaml"), read(t, "fleet/policy/policy.yaml"))
	return dir, []string{
		"PATH=" + filepath.Dir(p.path) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir, "XDG_STATE_HOME=" + filepath.Join(dir, "state"),
		"PRIVSYNC_URL=" + url, "PRIVSYNC_USERNAME=svc_privsync", "PRIVSYNC_PASSWORD=privsync",
	}
}

// runArgs runs privsync with the args of a container, whose files are in dir.
func (p program) runArgs(t *testing.T, dir string, env []string, args []any) (string, int) {
	t.Helper()
	cmd := exec.Command(p.path)
	for _, a := range args {
		cmd.Args = append(cmd.Args, strings.ReplaceAll(fmt.Sprint(a), "/etc/privsync/", dir+"/"))
	}
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func testFleetCronJobs(t *testing.T, p program) {
	dir, env := fleetWorld(t, p)
	jobs := map[string]map[string]any{}
	for _, item := range documents(t, "fleet/kubernetes-cronjobs.yaml")[0]["items"].([]any) {
		job := item.(map[string]any)
		jobs[find(t, job, "metadata", "name").(string)] = job
		if got := find(t, job, "spec", "concurrencyPolicy"); got != "Forbid" {
			t.Errorf("concurrencyPolicy = %v", got)
		}
		if got := find(t, job, "spec", "jobTemplate", "spec", "backoffLimit"); got != 0 {
			t.Errorf("backoffLimit = %v", got)
		}
	}
	pod := func(name string, path ...any) any {
		t.Helper()
		return find(t, jobs[name], append([]any{"spec", "jobTemplate", "spec", "template", "spec"}, path...)...)
	}
	for _, step := range []struct {
		job  string
		code int
	}{
		{"privsync-prod", 3}, {"privsync-test", 3}, {"privsync-dev", 0}, {"privsync-prod", 3}, {"privsync-test", 0}, {"privsync-prod", 0}, {"privsync-fleet-status", 0},
	} {
		args := pod(step.job, "containers", 0, "args").([]any)
		if out, code := p.runArgs(t, dir, env, args); code != step.code {
			t.Errorf("%s: exit %d, want %d:\n%s", step.job, code, step.code, out)
		}
		// Each has a password of its own, and the same policy.
		secret := strings.TrimSuffix(step.job, "-fleet-status")
		if secret != step.job {
			continue
		}
		volumes := fmt.Sprint(pod(step.job, "volumes"))
		mustContain(t, step.job, volumes, "secretName:"+secret+"]", "privsync-policy", "privsync-state")
		if got := pod(step.job, "containers", 0, "securityContext", "readOnlyRootFilesystem"); got != true {
			t.Errorf("%s: readOnlyRootFilesystem = %v", step.job, got)
		}
	}
}

func testFleetIndexedJob(t *testing.T, p program) {
	dir, env := fleetWorld(t, p)
	docs := documents(t, "fleet/kubernetes-indexed-job.yaml")
	job := docs[1]
	data := docs[0]["data"].(map[string]any)
	if n := find(t, job, "spec", "completions"); n != len(data) {
		t.Errorf("completions = %v, there are %d environments", n, len(data))
	}
	if got := find(t, job, "spec", "completionMode"); got != "Indexed" {
		t.Errorf("completionMode = %v", got)
	}
	args := find(t, job, "spec", "template", "spec", "containers", 0, "args").([]any)
	for i := range len(data) {
		write(t, filepath.Join(dir, "environment.yaml"), data[fmt.Sprintf("%d.yaml", i)].(string))
		out, code := p.runArgs(t, dir, env, args)
		if code != 0 && code != 2 {
			t.Errorf("index %d: exit %d:\n%s", i, code, out)
		}
	}
	out, _ := p.runArgs(t, dir, env, []any{"fleet", "status", "--format", "json"})
	for _, name := range []string{"dev", "test", "prod"} {
		mustContain(t, "the overview", out, fmt.Sprintf(`"environment": %q`, name))
	}
}

func testFleetGitHub(t *testing.T, p program) {
	dir, env := fleetWorld(t, p)
	workflow := documents(t, "fleet/github-matrix.yml")[0]
	script := func(job, step string) string {
		t.Helper()
		for _, s := range find(t, workflow, "jobs", job, "steps").([]any) {
			if s := s.(map[string]any); s["name"] == step {
				return s["run"].(string)
			}
		}
		t.Fatalf("the job %s has no step %s", job, step)
		return ""
	}
	env = append(env, "GITHUB_STEP_SUMMARY="+filepath.Join(dir, "summary.md"))
	stages := find(t, workflow, "jobs", "promote", "strategy", "matrix", "include").([]any)
	if got := find(t, workflow, "jobs", "promote", "strategy", "max-parallel"); got != 1 {
		t.Errorf("max-parallel = %v", got)
	}
	apply := func(stage any, want int) {
		t.Helper()
		with := append(env, fmt.Sprintf("ENVIRONMENT=%v", find(t, stage.(map[string]any), "environment")), fmt.Sprintf("REQUIRES=%v", find(t, stage.(map[string]any), "requires")))
		if out, code := shell(t, dir, script("promote", "Apply"), with); code != want {
			t.Errorf("%v: exit %d, want %d:\n%s", stage, code, want, out)
		}
	}
	apply(stages[len(stages)-1], 3)
	for _, stage := range stages {
		apply(stage, 0)
	}
	for _, name := range find(t, workflow, "jobs", "audit", "strategy", "matrix", "environment").([]any) {
		if out, code := shell(t, dir, script("audit", "Audit"), append(env, fmt.Sprint("ENVIRONMENT=", name))); code != 0 {
			t.Errorf("audit of %v: exit %d:\n%s", name, code, out)
		}
	}
	if out, code := shell(t, dir, script("overview", "Overview"), env); code != 0 {
		t.Errorf("overview: exit %d:\n%s", code, out)
	}
	mustContain(t, "the summary", read(t, filepath.Join(dir, "summary.md")), "3 environments: 3 ok")
}

// airflowStub plays the two modules that the DAG imports: it writes each task as a line
// of JSON, in an order in which they may run.
const airflowStub = `
import json, atexit
TASKS, AFTER = [], []
class DAG:
    def __init__(self, **options): assert options["max_active_runs"] == 1 and not options["catchup"]
    def __enter__(self): return self
    def __exit__(self, *_): return False
    def get_task(self, name): return next(t for t in TASKS if t.task_id == name)
class BashOperator:
    def __init__(self, task_id, bash_command, env, append_env, cwd, trigger_rule="all_success"):
        self.task_id, self.bash_command, self.env = task_id, bash_command, env
        TASKS.append(self)
    def __rshift__(self, other):
        AFTER.append((self, other))
        return other
def write():
    left = list(TASKS)
    while left:
        task = next(t for t in left if not any(b is t and a in left for a, b in AFTER))
        left.remove(task)
        print(json.dumps({"id": task.task_id, "command": task.bash_command, "env": sorted(task.env)}))
atexit.register(write)
`

func testFleetAirflow(t *testing.T, p program) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not on this machine")
	}
	dir, env := fleetWorld(t, p)
	modules := t.TempDir()
	write(t, filepath.Join(modules, "airflow", "sdk.py"), airflowStub)
	write(t, filepath.Join(modules, "airflow", "providers", "standard", "operators", "bash.py"), "from airflow.sdk import BashOperator\n")
	cmd := exec.Command(python, "fleet/airflow_dag.py")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+modules, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the DAG: %v\n%s", err, out)
	}
	var order []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		var task struct {
			ID, Command string
			Env         []string
		}
		if err := json.Unmarshal(s.Bytes(), &task); err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		order = append(order, task.ID)
		mustContain(t, task.ID, fmt.Sprint(task.Env), "PRIVSYNC_STATE", "PGPASSWORD")
		if out, code := shell(t, dir, task.Command, env); code != 0 {
			t.Errorf("%s: exit %d:\n%s\n%s", task.ID, code, task.Command, out)
		}
	}
	if got := strings.Join(order, " "); got != "apply_dev apply_test apply_prod overview" {
		t.Errorf("the tasks run as %s", got)
	}
}
