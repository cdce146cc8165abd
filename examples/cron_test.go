package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testCron runs the command lines of the cron recipes with their folders moved
// into a temporary one.
func testCron(t *testing.T, p program) {
	for name, script := range map[string]string{
		"crontab":    cronLines(t),
		"systemd":    strings.ReplaceAll(unit(t, "cron/privsync.service")["ExecStart"][0]+"\n"+unit(t, "cron/privsync.service")["ExecStartPost"][0], "${STATE_DIRECTORY}", "/var/lib/privsync") + "\n",
		"kubernetes": "/usr/local/bin/privsync " + strings.Join(containerArgs(t), " ") + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := p.simulator(t)
			root := t.TempDir()
			for _, dir := range []string{"var/lib/privsync/metrics", "var/log/privsync", "var/lib/prometheus/privsync", "etc/privsync"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			// Kubernetes shows a ConfigMap as links into a hidden folder.
			write(t, filepath.Join(root, "etc/privsync/policy/..2026_01_01/policy.yaml"), read(t, "policy.yaml"))
			for link, to := range map[string]string{"..data": "..2026_01_01", "policy.yaml": "..data/policy.yaml"} {
				if err := os.Symlink(to, filepath.Join(root, "etc/privsync/policy", link)); err != nil {
					t.Fatal(err)
				}
			}
			password := filepath.Join(root, "etc/privsync/password")
			write(t, password, "privsync\n")
			if err := os.Chmod(password, 0o400); err != nil {
				t.Fatal(err)
			}
			script = strings.ReplaceAll(script, "/usr/local/bin/privsync", "privsync")
			script = regexp.MustCompile(`([ =>])/(var|etc)/`).ReplaceAllString(script, "${1}"+root+"/$2/")
			env := []string{
				"PATH=" + filepath.Dir(p.path) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + root,
				"PRIVSYNC_URL=" + url, "PRIVSYNC_USERNAME=svc_privsync", "PRIVSYNC_PASSWORD_FILE=" + password,
			}
			if out, code := shell(t, root, script, env); code != 0 {
				logs, _ := filepath.Glob(filepath.Join(root, "var/log/privsync/*"))
				for _, log := range logs {
					out += read(t, log)
				}
				t.Fatalf("exit %d:\n%s%s", code, script, out)
			}
			if patches(t, requests) == 0 {
				t.Error("nothing was written to the server")
			}
			metrics, err := filepath.Glob(filepath.Join(root, "var/lib/*/*/privsync.prom"))
			if err != nil || len(metrics) != 1 {
				t.Fatalf("metrics = %v", metrics)
			}
			mustContain(t, "the metrics", read(t, metrics[0]), `privsync_run_exit_code{command="apply",policy="demo-company"} 0`)
			info, err := os.Stat(metrics[0])
			if err != nil {
				t.Fatal(err)
			}
			// node_exporter runs as somebody else.
			if info.Mode().Perm()&0o044 != 0o044 {
				t.Errorf("metrics have mode %v: node_exporter cannot read them", info.Mode().Perm())
			}
			testAlertMetrics(t, read(t, metrics[0]))
			reports, err := filepath.Glob(filepath.Join(root, "var/lib/privsync/reports/*.json"))
			if err != nil || len(reports) == 0 {
				t.Errorf("no reports in the report folder: %v", err)
			}
		})
	}

	t.Run("config map", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		for _, doc := range documents(t, "cron/kubernetes-cronjob.yaml") {
			if doc["kind"] == "ConfigMap" {
				write(t, file, doc["data"].(map[string]any)["policy.yaml"].(string))
			}
		}
		if out, err := exec.Command(p.path, "validate", "-f", file).CombinedOutput(); err != nil {
			t.Errorf("the policy of the ConfigMap: %v\n%s", err, out)
		}
	})
}

// cronLines returns the commands of the crontab. Their lines must be those of a
// crontab with a user.
func cronLines(t *testing.T) string {
	t.Helper()
	entry := regexp.MustCompile(`^[0-9]+ [0-9]+ [*1] \* [*0-9]  privsync  (privsync .*)$`)
	variable := regexp.MustCompile(`^[A-Z_]+=[^ ]+$`)
	var commands []string
	for line := range strings.Lines(read(t, "cron/crontab")) {
		line = strings.TrimSuffix(line, "\n")
		m := entry.FindStringSubmatch(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#") || variable.MatchString(line):
		case m == nil:
			t.Errorf("crontab: strange line %q", line)
		case strings.Contains(line, "%"):
			t.Errorf("crontab: cron takes %% for a line's end in %q", line)
		default:
			commands = append(commands, m[1])
		}
	}
	if len(commands) != 4 {
		t.Fatalf("crontab has %d entries, want 4", len(commands))
	}
	return strings.Join(commands, "\n") + "\n"
}

// unit reads a systemd unit: its keys with all their values.
func unit(t *testing.T, file string) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	for i, line := range strings.Split(read(t, file), "\n") {
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !regexp.MustCompile(`^[A-Za-z]+$`).MatchString(key) {
			t.Fatalf("%s:%d: neither a section nor a key: %q", file, i+1, line)
		}
		keys[key] = append(keys[key], value)
	}
	return keys
}

func TestSystemdUnits(t *testing.T) {
	service := unit(t, "cron/privsync.service")
	for key, want := range map[string]string{
		"Type": "oneshot", "User": "privsync", "StateDirectory": "privsync", "ProtectSystem": "strict", "ProtectHome": "yes",
		"NoNewPrivileges": "yes", "PrivateTmp": "yes", "LoadCredential": "password:/etc/privsync/password", "CapabilityBoundingSet": "",
	} {
		if got := service[key]; len(got) != 1 || got[0] != want {
			t.Errorf("privsync.service: %s = %q, want %q", key, got, want)
		}
	}
	if !slices.Contains(service["Environment"], "PRIVSYNC_PASSWORD_FILE=%d/password") {
		t.Errorf("privsync.service: Environment = %q lacks the credential", service["Environment"])
	}
	if timer := unit(t, "cron/privsync.timer"); len(timer["OnCalendar"]) != 1 || timer["Persistent"][0] != "true" {
		t.Errorf("privsync.timer = %v", timer)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	// The program and the manual page are not installed here; a copy names a
	// program that every machine has.
	dir := t.TempDir()
	text := read(t, "cron/privsync.service")
	text = strings.ReplaceAll(text, "/usr/local/bin/privsync ", "/bin/sh ")
	text = strings.Replace(text, "Documentation=man:privsync(1)\n", "", 1)
	write(t, filepath.Join(dir, "privsync.service"), text)
	write(t, filepath.Join(dir, "privsync.timer"), read(t, "cron/privsync.timer"))
	out, err := exec.Command(analyze, "verify", filepath.Join(dir, "privsync.service"), filepath.Join(dir, "privsync.timer")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "privsync.") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// find returns the value at a path of keys and indexes of a decoded YAML
// document.
func find(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				t.Fatalf("nothing at %v", path)
			}
			v = list[s]
		}
	}
	return v
}

func cronJob(t *testing.T) map[string]any {
	t.Helper()
	for _, doc := range documents(t, "cron/kubernetes-cronjob.yaml") {
		if doc["kind"] == "CronJob" {
			return doc
		}
	}
	t.Fatal("no CronJob")
	return nil
}

func containerArgs(t *testing.T) []string {
	t.Helper()
	list, _ := find(t, cronJob(t), "spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "args").([]any)
	var args []string
	for _, a := range list {
		args = append(args, fmt.Sprint(a))
	}
	if len(args) == 0 {
		t.Fatal("the container has no args")
	}
	return args
}

func TestKubernetesCronJobIsHardened(t *testing.T) {
	job := cronJob(t)
	if got := find(t, job, "spec", "concurrencyPolicy"); got != "Forbid" {
		t.Errorf("concurrencyPolicy = %v", got)
	}
	if got := find(t, job, "spec", "jobTemplate", "spec", "backoffLimit"); got != 0 {
		t.Errorf("backoffLimit = %v", got)
	}
	workloads := 0
	for _, doc := range documents(t, "cron/kubernetes-cronjob.yaml") {
		pod := find(t, doc, "spec", "template", "spec")
		if doc["kind"] == "CronJob" {
			pod = find(t, doc, "spec", "jobTemplate", "spec", "template", "spec")
		}
		if pod == nil {
			continue
		}
		workloads++
		for _, c := range []struct {
			want any
			path []any
		}{
			{false, []any{"automountServiceAccountToken"}},
			{true, []any{"securityContext", "runAsNonRoot"}},
			{"RuntimeDefault", []any{"securityContext", "seccompProfile", "type"}},
			{true, []any{"containers", 0, "securityContext", "readOnlyRootFilesystem"}},
			{false, []any{"containers", 0, "securityContext", "allowPrivilegeEscalation"}},
			{"ALL", []any{"containers", 0, "securityContext", "capabilities", "drop", 0}},
		} {
			if got := find(t, pod, c.path...); got != c.want {
				t.Errorf("%s: %v = %v, want %v", doc["kind"], c.path, got, c.want)
			}
		}
		// What a container mounts must be a volume of its pod.
		var volumes []any
		for i := range find(t, pod, "volumes").([]any) {
			volumes = append(volumes, find(t, pod, "volumes", i, "name"))
		}
		for i := range find(t, pod, "containers", 0, "volumeMounts").([]any) {
			if name := find(t, pod, "containers", 0, "volumeMounts", i, "name"); !slices.Contains(volumes, name) {
				t.Errorf("%s mounts %v, which is no volume", doc["kind"], name)
			}
		}
	}
	if workloads != 2 {
		t.Errorf("%d workloads, want 2", workloads)
	}
}

var metricName = regexp.MustCompile(`privsync_[a-z_]+`)

// testAlertMetrics checks that the alerts ask for metrics that a run writes.
func testAlertMetrics(t *testing.T, metrics string) {
	t.Helper()
	for _, group := range documents(t, "cron/alerts.yml")[0]["groups"].([]any) {
		for _, rule := range find(t, group, "rules").([]any) {
			expr := fmt.Sprint(find(t, rule, "expr"))
			for _, name := range metricName.FindAllString(expr, -1) {
				if !strings.Contains(metrics, "\n"+name+"{") {
					t.Errorf("alert %v asks for %s, which no run writes", find(t, rule, "alert"), name)
				}
			}
			for _, m := range regexp.MustCompile(`(outcome|severity)="([a-z-]+)"`).FindAllString(expr, -1) {
				if !strings.Contains(metrics, m) {
					t.Errorf("alert %v asks for %s, which no run writes", find(t, rule, "alert"), m)
				}
			}
		}
	}
}

func TestAlertRulesAreComplete(t *testing.T) {
	doc := documents(t, "cron/alerts.yml")[0]
	seen := map[any]bool{}
	for _, group := range doc["groups"].([]any) {
		for _, rule := range find(t, group, "rules").([]any) {
			name := find(t, rule, "alert")
			if name == nil || seen[name] || find(t, rule, "expr") == nil || find(t, rule, "labels", "severity") == nil ||
				find(t, rule, "annotations", "summary") == nil || find(t, rule, "annotations", "description") == nil {
				t.Errorf("alert %v stands twice or lacks something", name)
			}
			seen[name] = true
			expr := fmt.Sprint(find(t, rule, "expr"))
			if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
				t.Errorf("alert %v: unbalanced expression %s", name, expr)
			}
		}
	}
	for _, code := range []string{"1", "3", "4", "130"} {
		if !strings.Contains(read(t, "cron/alerts.yml"), "privsync_run_exit_code == "+code+")") {
			t.Errorf("no alert for exit code %s", code)
		}
	}
}

// The image can be built only from what .dockerignore lets through.
func TestDockerContextHoldsEveryPackage(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}{{end}}", "./cmd/privsync")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	allowed := strings.Split(read(t, "../.dockerignore"), "\n")
	packages := strings.Fields(string(out))
	if len(packages) < 6 {
		t.Fatalf("go list names %d packages", len(packages))
	}
	for _, dir := range packages {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if !slices.Contains(allowed, "!"+top) {
			t.Errorf(".dockerignore keeps package %s out of the image's build", rel)
		}
	}
}
