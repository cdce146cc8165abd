package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	at    = time.Date(2026, 9, 10, 8, 26, 40, 0, time.UTC)
	files = []file{
		{"privsync", 0o755, []byte("binary")},
		{"man/privsync.1", 0o644, []byte(".TH")},
		{"LICENSE", 0o644, []byte("Apache")},
	}
)

func TestArchivesHoldTheFilesSorted(t *testing.T) {
	want := []string{
		"top/LICENSE -rw-r--r-- Apache 2026-09-10T08:26:40Z",
		"top/man/privsync.1 -rw-r--r-- .TH 2026-09-10T08:26:40Z",
		"top/privsync -rwxr-xr-x binary 2026-09-10T08:26:40Z",
	}
	for _, system := range []string{"linux", "windows"} {
		data, err := pack(platform{system, "amd64"}, "top", files, at)
		if err != nil {
			t.Fatal(err)
		}
		got := list(t, system, data)
		if !slices.Equal(got, want) {
			t.Errorf("%s archive holds\n%s\nwant\n%s", system, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestArchivesDependOnNothingButTheFiles(t *testing.T) {
	for _, system := range []string{"linux", "windows"} {
		p := platform{system, "amd64"}
		a, err := pack(p, "top", files, at)
		if err != nil {
			t.Fatal(err)
		}
		reversed := slices.Clone(files)
		slices.Reverse(reversed)
		// The same moment in another zone is the same archive.
		b, err := pack(p, "top", reversed, at.In(time.FixedZone("", 3*3600)).UTC())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s archive depends on the order of its files or on the zone", system)
		}
		c, err := pack(p, "top", files, at.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(a, c) {
			t.Errorf("%s archive does not carry the time", system)
		}
	}
}

func TestReleaseRefusesBeforeItBuilds(t *testing.T) {
	for _, c := range []struct {
		version string
		at      time.Time
		want    string
	}{
		{"", at, "-version"},
		{"v1 -X main.a=b", at, "-version"},
		{"../v1", at, "-version"},
		{"v1.0.0", time.Unix(0, 0), "-time"},
	} {
		err := release(c.version, c.at, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("release(%q, %v) = %v, want an error about %s", c.version, c.at, err, c.want)
		}
	}
}

func list(t *testing.T, system string, data []byte) []string {
	t.Helper()
	var out []string
	add := func(name, mode string, r io.Reader, at time.Time) {
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", name, mode, text, at.UTC().Format(time.RFC3339)))
	}
	if system == "windows" {
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			add(f.Name, f.Mode().String(), r, f.Modified)
		}
		return out
	}
	compressed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !compressed.ModTime.IsZero() || compressed.Name != "" {
		t.Errorf("gzip header holds a time or a name: %v", compressed.Header)
	}
	archive := tar.NewReader(compressed)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s has an owner", h.Name)
		}
		add(h.Name, h.FileInfo().Mode().String(), archive, h.ModTime)
	}
}

// TestFolderFiles: an archive holds the examples and the schemas, and no code.
func TestFolderFiles(t *testing.T) {
	t.Chdir("../../../..")
	for folder, want := range map[string][]string{
		"examples": {"examples/policy.yaml", "examples/ci/github-actions.yml", "examples/cron/crontab", "examples/policies/minimal.yaml"},
		"schema":   {"schema/policy.schema.json", "schema/report.schema.json"},
	} {
		got, err := folderFiles(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if !slices.ContainsFunc(got, func(f file) bool { return f.name == name && len(f.data) > 0 }) {
				t.Errorf("%s is not in the archive", name)
			}
		}
		if i := slices.IndexFunc(got, func(f file) bool { return strings.HasSuffix(f.name, ".go") }); i >= 0 {
			t.Errorf("%s is in the archive", got[i].name)
		}
	}
}
