// Command release builds what is published: one archive per platform, and
// their SHA-256 sums. It is run by make release, from the root of the
// repository:
//
//	go run ./cmd/privsync/internal/release -version v1.0.0 -time 1789000000 -out dist
//
// The same sources, version, time and Go toolchain give the same bytes on any
// machine: binaries are built without cgo, paths and version control data, and
// archives are written here rather than by tar and zip, whose output differs
// between systems.
//
// Beside each archive stands its bill of materials (CycloneDX), which cyclonedx-gomod
// reads out of the binary; tools.mod pins it. With -sign-key the sums are signed by
// ssh-keygen, as namespace "file": SHA256SUMS.sig.
//
// It publishes nothing.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

type platform struct{ os, arch string }

var platforms = [...]platform{
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"linux", "amd64"}, {"linux", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

func main() {
	version := flag.String("version", "", "version to build, like v1.0.0")
	seconds := flag.Int64("time", 0, "time that everything carries, in seconds since 1970: that of the commit")
	out := flag.String("out", "dist", "folder for the archives")
	key := flag.String("sign-key", "", "SSH private key, or public key of one in the agent, to sign SHA256SUMS with")
	flag.Parse()
	err := release(*version, time.Unix(*seconds, 0).UTC(), *out)
	if err == nil && *key != "" {
		err = sign(*key, filepath.Join(*out, "SHA256SUMS"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// plainVersion keeps the version usable in file names and linker flags.
var plainVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]*$`)

func release(version string, at time.Time, out string) error {
	switch {
	case !plainVersion.MatchString(version):
		return fmt.Errorf("-version %q: letters, digits and .+_- only", version)
	case at.Year() < 1980 || at.Year() > 2100:
		// The first year that a zip file can hold; it also finds a missing -time.
		return fmt.Errorf("-time: %s cannot be the time of a commit", at.Format(time.DateOnly))
	}
	work, err := os.MkdirTemp("", "privsync-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	shared, err := documents(version, at, work)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	for _, p := range platforms {
		binary := "privsync"
		if p.os == "windows" {
			binary += ".exe"
		}
		built := filepath.Join(work, p.os+"_"+p.arch, binary)
		if err := build(p, version, built); err != nil {
			return err
		}
		data, err := os.ReadFile(built)
		if err != nil {
			return err
		}
		files := append([]file{{binary, 0o755, data}}, shared...)
		name := fmt.Sprintf("privsync_%s_%s_%s", version, p.os, p.arch)
		bill, err := billOfMaterials(built, version, at)
		if err != nil {
			return err
		}
		archive, err := pack(p, name, files, at)
		if err != nil {
			return err
		}
		if p.os == "windows" {
			name += ".zip"
		} else {
			name += ".tar.gz"
		}
		if err := os.WriteFile(filepath.Join(out, name), archive, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, name+".cdx.json"), bill, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n%x  %s.cdx.json\n", sha256.Sum256(archive), name, sha256.Sum256(bill), name)
	}
	fmt.Print(sums.String())
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// build compiles the program for one platform, with build tags.
func build(p platform, version, to string, tags ...string) error {
	return run([]string{"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOFLAGS=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0"},
		"go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+version, "-tags", strings.Join(tags, ","), "-o", to, "./cmd/privsync")
}

// documents makes what all archives hold: licence and texts, examples and schemas,
// manual pages, and shell completions.
func documents(version string, at time.Time, work string) ([]file, error) {
	here := platform{runtime.GOOS, runtime.GOARCH}
	program := filepath.Join(work, "here", "privsync")
	if here.os == "windows" {
		program += ".exe"
	}
	if err := build(here, version, program, "man"); err != nil {
		return nil, err
	}
	var files []file
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "ARCHITECTURE.md", "SECURITY.md"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, 0o644, data})
	}
	for _, folder := range []string{"examples", "schema"} {
		more, err := folderFiles(folder)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	man := filepath.Join(work, "man")
	if err := run([]string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at.Unix())}, program, "man", man); err != nil {
		return nil, err
	}
	pages, err := os.ReadDir(man)
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		data, err := os.ReadFile(filepath.Join(man, page.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{"man/" + page.Name(), 0o644, data})
	}
	for shell, name := range map[string]string{"bash": "privsync.bash", "zsh": "_privsync", "fish": "privsync.fish", "powershell": "privsync.ps1"} {
		script, err := exec.Command(program, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("completion %s: %w", shell, err)
		}
		files = append(files, file{"completions/" + name, 0o644, script})
	}
	return files, nil
}

// folderFiles returns the files below folder, but for the Go code beside them.
func folderFiles(folder string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) == ".go" || strings.Contains(filepath.ToSlash(name), "/testdata/") {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(name), 0o644, data})
		return nil
	})
	return files, err
}

// run runs a command with variables added to the environment; its errors go to
// stderr.
func run(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), args[0], err)
	}
	return nil
}

// file is one file of an archive; its name is relative and uses slashes.
type file struct {
	name string
	mode os.FileMode
	data []byte
}

// pack returns an archive of files below a folder called top, sorted by name,
// all of the same time and of no owner: zip for Windows, tar.gz elsewhere.
func pack(p platform, top string, files []file, at time.Time) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	var b bytes.Buffer
	write := packTar
	if p.os == "windows" {
		write = packZip
	}
	if err := write(&b, top, files, at); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func packTar(w io.Writer, top string, files []file, at time.Time) error {
	// The zero header holds no name, no time and no system.
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(top, f.name), Mode: int64(f.mode.Perm()),
			Size: int64(len(f.data)), ModTime: at, Format: tar.FormatUSTAR,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func packZip(w io.Writer, top string, files []file, at time.Time) error {
	archive := zip.NewWriter(w)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, f := range files {
		header := &zip.FileHeader{Name: path.Join(top, f.name), Method: zip.Deflate, Modified: at}
		header.SetMode(f.mode)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return archive.Close()
}
