package examples_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The recipes are run as they stand, by a small stand-in for the CI system that
// they are written for, with the real program against its simulated server.
// gh and curl are stubs in PATH that play the CI system's API.
func TestRecipes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for Unix shells")
	}
	for _, tool := range []string{"bash", "git", "jq", "tar", "sha256sum", "zip", "unzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("PRIVSYNC_REQUIRE_JQ") != "" {
				t.Fatalf("the recipes need %s: %v", tool, err)
			}
			t.Skipf("the recipes need %s, which is not on this machine", tool)
		}
	}
	p := build(t)
	t.Run("command lines", func(t *testing.T) { testCommandLines(t, p) })
	t.Run("github", func(t *testing.T) { testGitHub(t, p) })
	t.Run("gitlab", func(t *testing.T) { testGitLab(t, p) })
	t.Run("cron", func(t *testing.T) { testCron(t, p) })
	t.Run("fleet", func(t *testing.T) { testFleet(t, p) })
}

// program is the built binary, and the archive that a release of it would be.
type program struct {
	path    string
	archive string
	sum     string // SHA-256 of archive
}

func build(t *testing.T) program {
	t.Helper()
	dir := t.TempDir()
	p := program{path: filepath.Join(dir, "privsync"), archive: filepath.Join(dir, "privsync.tar.gz")}
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", p.path, "./cmd/privsync")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	compressed, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
	archive := tar.NewWriter(compressed)
	err = archive.WriteHeader(&tar.Header{Name: "privsync_v1.0.0_linux_amd64/privsync", Mode: 0o755, Size: int64(len(data))})
	if err == nil {
		_, err = archive.Write(data)
	}
	if err = errors.Join(err, archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, p.archive, b.String())
	p.sum = fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
	return p
}

// simulator starts privsync sim for the rest of the test.
func (p program) simulator(t *testing.T) (url, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "requests.jsonl")
	cmd := exec.Command(p.path, "sim", "--listen", "127.0.0.1:0", "--log", log)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("privsync sim names no URL: %v", err)
	}
	return strings.TrimSpace(line), log
}

// patches counts the writes in a request log.
func patches(t *testing.T, log string) int {
	t.Helper()
	return strings.Count(read(t, log), `"method":"PATCH"`)
}

// shell runs a script as a CI system does and returns its output and exit code.
func shell(t *testing.T, dir, script string, env []string) (string, int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "step.sh")
	write(t, file, script)
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", file)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// repository makes a git repository whose folder policy holds the file given.
func repository(t *testing.T, policy string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy", "policy.yaml"), policy)
	git(t, dir, "init", "--quiet")
	commit(t, dir)
	return dir
}

func commit(t *testing.T, dir string) {
	t.Helper()
	git(t, dir, "add", "policy")
	git(t, dir, "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "policy")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
}

// clone copies a folder, so that a test can spoil it.
func clone(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// stubs returns a folder of executables that stand in front of PATH.
func stubs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		path := filepath.Join(dir, name)
		write(t, path, "#!/usr/bin/env bash\nset -euo pipefail\n"+script)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Every command line of privsync in a recipe, a policy, a page of the help or the
// README must be one that the program understands.
func testCommandLines(t *testing.T, p program) {
	var files []string
	for _, root := range []string{".", "../cmd/privsync/internal/topics", "../README.md", "../Dockerfile"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".go") && !strings.Contains(path, "testdata") {
				files = append(files, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, file := range files {
		for _, line := range commandLines(read(t, file)) {
			if seen[line] {
				continue
			}
			seen[line] = true
			args := strings.Fields(strings.NewReplacer(`"`, "", `'`, "", "$PLAN_TTL", "72h").Replace(line))[1:]
			if len(args) > 0 && args[0] != "help" {
				args = append(args, "--help")
			}
			// Parsing stops at the first flag that is not known; --help does nothing else.
			if out, err := exec.Command(p.path, args...).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("\n")) {
				t.Errorf("%s: %q is no command of privsync: %v\n%.300s", file, line, err, out)
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("found only %d command lines: the test looks in the wrong places", len(seen))
	}
}

// start finds where a shell line, a comment or a code span runs privsync.
var start = regexp.MustCompile("(?m)(?:^[ \t]*(?:# {2,})?(?:- |run: |ExecStart=/usr/local/bin/)?|`|[$(|;&] ?|  privsync  )(privsync (?:-|[a-z]).*)$")

// commandLines returns the command lines of privsync in text, without
// redirections, pipes and what follows them.
func commandLines(text string) []string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	var out []string
	for _, m := range start.FindAllStringSubmatchIndex(text, -1) {
		line := text[m[2]:m[3]]
		// A code span ends with its backquote and may be broken over two lines.
		if m[2] > 0 && text[m[2]-1] == '`' {
			rest := text[m[2]:]
			end := strings.IndexByte(rest, '`')
			if end < 0 {
				continue
			}
			line = strings.Join(strings.Fields(rest[:end]), " ")
		} else if !strings.Contains(line, " -") && !regexp.MustCompile(`^privsync [a-z-]+( [A-Za-z.]+)?$`).MatchString(line) {
			continue // a sentence that begins with the name
		}
		for _, end := range []string{" |", " &&", ";", " >", " 2>", ">", "`", "#", "  ", ")", " …"} {
			line, _, _ = strings.Cut(line, end)
		}
		words := strings.Fields(line)
		if len(words) > 1 && !slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "…") || strings.HasSuffix(w, ",") }) {
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// Every recipe in YAML must be YAML, whatever else is tested about it.
func TestRecipesAreYAML(t *testing.T) {
	for _, pattern := range []string{"ci/*.yml", "cron/*.yml", "cron/*.yaml", "fleet/*.yml", "fleet/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			if docs := documents(t, file); len(docs) == 0 {
				t.Errorf("%s is empty", file)
			}
		}
	}
}

func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	var docs []map[string]any
	dec := yaml.NewDecoder(strings.NewReader(read(t, file)))
	for {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		docs = append(docs, doc)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mustContain fails the test for each text that is not in got.
func mustContain(t *testing.T, what, got string, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%.3000s", what, want, got)
		}
	}
}
