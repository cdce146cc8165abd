package man

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/topics"
)

func tree() *cobra.Command {
	root := &cobra.Command{Use: "privsync", Short: "Keep privileges", Long: ".start with a dot\n\n  indented *as is*\n\n'quote", Version: "v1.2.3"}
	root.PersistentFlags().Bool("quiet", false, "say nothing")
	plan := &cobra.Command{Use: "plan -f FILE…", Short: "Show what would change", Example: `  privsync plan -f a.yaml --out 'C:\plan.json'`, Run: func(*cobra.Command, []string) {}}
	plan.Flags().StringArrayP("file", "f", nil, "policy `FILE` or folder of *.yaml and *.yml files")
	plan.Flags().String("url", "", "base `URL`")
	plan.Flags().Lookup("url").Annotations = map[string][]string{variableAnnotation: {"PRIVSYNC_URL"}}
	plan.Flags().Int("concurrency", 8, "requests in flight")
	hidden := &cobra.Command{Use: "man DIR", Short: "Write manual pages", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(plan, hidden)
	return root
}

func generate(t *testing.T) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "man")
	if err := Generate(tree(), dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages[e.Name()] = string(text)
	}
	return pages
}

func TestEveryCommandAndTopicHasAPage(t *testing.T) {
	pages := generate(t)
	want := []string{"privsync.1", "privsync-plan.1"}
	for _, name := range topics.Names() {
		want = append(want, "privsync-"+name+".7")
	}
	var got []string
	for name := range pages {
		got = append(got, name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("pages = %v, want %v", got, want)
	}
}

func TestCommandPage(t *testing.T) {
	page := generate(t)["privsync-plan.1"]
	for _, want := range []string{
		`.SH "NAME"` + "\n" + `privsync-plan \- Show what would change`,
		`\fB\-f, \-\-file\fP \fIFILE\fP` + "\n" + `policy FILE or folder of *.yaml and *.yml files`,
		`requests in flight (default 8)`,
		`  privsync plan \-f a.yaml \-\-out 'C:\eplan.json'`,
		`.SH "GLOBAL OPTIONS"`,
		".TP\n\\fB130\\fP\nInterrupted.",
		`privsync(1), privsync\-policy(7)`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of plan lacks %q:\n%s", want, page)
		}
	}
}

func TestRootPage(t *testing.T) {
	page := generate(t)["privsync.1"]
	for _, want := range []string{
		`\&.start with a dot`, `\&'quote`, "  indented *as is*",
		".TP\n\\fBPRIVSYNC_URL\\fP\nSets \\-\\-url where",
		".TP\n\\fBPRIVSYNC_PASSWORD\\fP\n",
		".TP\n\\fBprivsync plan\\fP\nShow what would change",
		`"privsync v1.2.3"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of the program lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, `privsync man\fP`) || strings.Contains(page, "Write manual") {
		t.Error("the page of the program names a hidden command")
	}
}

func TestPagesAreReproducible(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1789000000")
	a, b := generate(t), generate(t)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs from one run to the next", name)
		}
		if !strings.Contains(strings.SplitN(a[name], "\n.SH", 2)[0], `2026`) {
			t.Errorf("%s does not carry the day of SOURCE_DATE_EPOCH: %.120s", name, a[name])
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	for name, page := range generate(t) {
		if strings.Contains(page, "1970") || strings.Contains(page, "2026\"") {
			t.Errorf("%s carries a date although SOURCE_DATE_EPOCH is not set: %.120s", name, page)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if err := Generate(tree(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "yesterday") {
		t.Errorf("Generate = %v, want an error about SOURCE_DATE_EPOCH", err)
	}
}

// groff knows best whether a page is well-formed; machines without it skip this.
func TestGroffHasNoComplaints(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff on this machine")
	}
	dir := t.TempDir()
	if err := Generate(tree(), dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		out, err := exec.Command(groff, "-man", "-t", "-k", "-Tutf8", "-ww", "-z", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
		}
	}
}
