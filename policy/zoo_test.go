package policy

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const zooHead = "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: zoo}\n"

// zoo generates policies that cost as much as one can, of about size bytes each. All
// but the honest one may be refused; what counts is what that takes.
var zoo = map[string]func(size int) string{
	"honest": func(size int) string {
		var b strings.Builder
		b.WriteString(zooHead + "principals:\n")
		for i := 0; b.Len() < size-1000; i++ {
			fmt.Fprintf(&b, "  - user: user%06d\n    privileges: [", i)
			for j := range 25 {
				fmt.Fprintf(&b, "Use privilege number %d, ", (i*7+j*11)%300)
			}
			b.WriteString("x]\n")
		}
		return b.String()
	},
	"small entries": repeated(zooHead+"principals:\n", "  - {user: u%d, sets: [s]}\n", ""),
	"flow, small enough": func(size int) string {
		return repeated(zooHead+"principals: [", "a,", "a]\n")(min(size, 2*maxTree-100))
	},
	"flow":     repeated(zooHead+"principals: [", "a,", "a]\n"),
	"overlays": repeated(zooHead+"principals: [{user: a, redundant: revoke, privileges: [x]}]\noverlays:\n", "  o%d: {defaults: {satisfiedBy: direct}}\n", ""),
	"overlays and entries": func(size int) string {
		return repeated(zooHead+"overlays:\n", "  o%d: {defaults: {satisfiedBy: direct}}\n", "")(min(size/2, 300_000)) +
			repeated("principals:\n", "  - {user: u%d, redundant: revoke, privileges: [x]}\n", "")(size/2)
	},
	"misspelt sets": func(size int) string {
		long := strings.Repeat("abcdefgh", 14)
		return repeated(zooHead+"privilegeSets:\n", "  s"+long+"abcdefgh%d: {privileges: [x]}\n", "")(min(size/2, 1_000_000)) +
			repeated("principals:\n", "  - {user: u%[1]d, sets: [s"+long+"hgfedcba%[1]d]}\n", "")(size/2)
	},
	"misspelt keys": repeated(zooHead+"principals:\n", "  - {user: u%d, privilegs: [x]}\n", ""),
	"unknown keys":  repeated(zooHead, "key%d: x\n", ""),
	"nested aliases": func(int) string {
		var b strings.Builder
		b.WriteString(zooHead + "principals:\n  - {user: z, privileges: &x0 [a]}\n")
		for i := 1; i < 60; i++ {
			fmt.Fprintf(&b, "  - {user: u%d, privileges: &x%d [%s*x%d]}\n", i, i, strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 9), i-1)
		}
		return b.String()
	},
	"aliases of mistakes": func(int) string {
		return repeated("principals: [&a {user: a", ", x%d: 1", "}")(1800) + strings.Repeat(", *a", 5000) + "]\n"
	},
	"aliases of an entry": func(size int) string {
		return zooHead + "principals:\n  - &a {user: u, privileges: [" + strings.Repeat("x, ", 2000) + "x]}\n" + strings.Repeat("  - *a\n", min(size/7, 500_000))
	},
	"alias of itself":  func(int) string { return zooHead + "principals: &a [*a, *a]\n" },
	"anchors":          repeated(zooHead+"x: [", "&a%d b,", "]\n"),
	"comments":         repeated("", "# c\n", ""),
	"blank lines":      repeated("", "\n", ""),
	"comment per line": repeated(zooHead+"principals:\n  - {user: a, privileges: [x]}\n", "  # c\n", ""),
	"one word":         repeated(zooHead+"x: ", "aaaa", "\n"),
	"one text":         repeated(zooHead+"x: |\n", "  w\n", ""),
	"folded":           repeated(zooHead+"x: a\n", "  w\n", ""),
	"escapes":          repeated(zooHead+`x: "`, `\x41`, "\"\n"),
	"quotes":           repeated(zooHead+"principals:\n  - {user: a, privileges: ['", "''", "']}\n"),
	"deep lists":       repeated(zooHead+"x: ", "[", ""),
	"deep mappings":    repeated(zooHead+"x: ", "{a: ", ""),
	"deep blocks":      repeated(zooHead+"principals:\n", "- ", "a\n"),
	"the same user":    repeated(zooHead+"principals:\n", "  - {user: a, privileges: [x]}\n", ""),
	"a late mistake":   repeated(zooHead+"principals:\n", "  - {user: u%d, privileges: [x]}\n", "  - {user: \"a\n"),
	"a chain of sets":  repeated(zooHead+"principals: [{user: a, sets: [s0]}]\nprivilegeSets:\n", "  s%d: {privileges: [x], include: [s1]}\n", ""),
	"sets of sets": func(size int) string {
		var b strings.Builder
		b.WriteString(repeated(zooHead+"privilegeSets:\n", "  s%[1]d: {privileges: [x%[1]d]}\n", "")(min(size/4, 100_000)) + "principals:\n")
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, "  - {user: u%d, sets: [", i)
			for j := range 300 {
				fmt.Fprintf(&b, "s%d, ", (i+j)%3000)
			}
			b.WriteString("s0]}\n")
		}
		return b.String()
	},
	"one set in many entries": func(size int) string {
		var b strings.Builder
		b.WriteString(zooHead + "privilegeSets:\n  big: {privileges: [p")
		for i := range 3000 {
			fmt.Fprintf(&b, ", p%d", i)
		}
		b.WriteString("]}\nprincipals:\n")
		// Just below what may be listed in all, so that all of it is.
		for i := 0; i < min(499, size>>13); i++ {
			fmt.Fprintf(&b, "  - {user: u%d, sets: [big], until: 2030-01-01, forbid: [x]}\n", i)
		}
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, "  - {user: v%d, forbid: [x]}\n", i)
		}
		return b.String()
	},
	"rules": repeated(zooHead+"rules:\n", "  - {name: r%[1]d, deny: [a%[1]d]}\n", ""),
	"windows lines": func(size int) string {
		return strings.ReplaceAll(repeated(zooHead+"principals:\n", "  - user: u%d\n    privileges: [Use A, Use B, Use C]\n", "")(size), "\n", "\r\n")
	},
}

// repeated returns a generator of head, as many items as fit, numbered if they
// have a %d, and tail.
func repeated(head, item, tail string) func(size int) string {
	return func(size int) string {
		var b bytes.Buffer
		b.WriteString(head)
		numbered := strings.Contains(item, "%")
		for i := 0; b.Len() < size-200; i++ {
			if numbered {
				fmt.Fprintf(&b, item, i)
			} else {
				b.WriteString(item)
			}
		}
		b.WriteString(tail)
		return b.String()
	}
}

// TestZoo reads a small zoo, on whatever machine and under the race detector; that a
// full one is read within its limits [BenchmarkZoo] shows.
func TestZoo(t *testing.T) {
	const most = 20 * time.Second
	for name, generate := range zoo {
		data := []byte(generate(512 << 10))
		// On a busy machine time is not only the program's: the best of three counts.
		var err error
		took := time.Hour
		for i := 0; i < 3 && took > most; i++ {
			start := time.Now()
			_, err = Parse("zoo.yaml", data)
			took = min(took, time.Since(start))
		}
		t.Logf("%-22s %8d bytes %s", name, len(data), took.Round(time.Millisecond))
		if took > most {
			t.Errorf("%s: %d bytes took %s (%.200v)", name, len(data), took, err)
		}
		if name == "honest" && err != nil {
			t.Errorf("%s: refused: %.300v", name, err)
		}
	}
}

const (
	zooVariable = "PRIVSYNC_TEST_ZOO"
	zooMemory   = 1 << 30
)

// zooHerds are the sizes in which [BenchmarkZoo] tries each animal: as large as may be,
// in several files, and smaller, because what is refused at once for its size costs
// less than what is just small enough to be read.
var zooHerds = []struct{ files, size int }{
	{1, MaxSize * 7 / 8}, {3, 20 << 20}, {1, 14 << 20}, {1, 4 << 20}, {12, 4 << 20}, {60, 900 << 10},
}

// TestZooAnimal is one policy in a process of its own, for [BenchmarkZoo].
func TestZooAnimal(t *testing.T) {
	path := os.Getenv(zooVariable)
	if path == "" {
		t.Skip("is run by BenchmarkZoo")
	}
	start := time.Now()
	_, err := Load(strings.Split(path, "\n"), Options{})
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, _, _ := strings.Cut(strings.TrimSpace(peak), " ")
	fmt.Printf("\nzoo %d %s %t\n", time.Since(start), kilobytes, err == nil)
}

// BenchmarkZoo reads the herds of each animal, each in a process of its own, and fails
// if one takes more than 5 s (the honest one 10) or 1 GiB.
func BenchmarkZoo(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(zoo)) {
		for _, herd := range zooHerds {
			b.Run(fmt.Sprintf("%s/%dx%dKiB", name, herd.files, herd.size>>10), func(b *testing.B) {
				dir := b.TempDir()
				paths := []string{}
				for i := range herd.files {
					paths = append(paths, filepath.Join(dir, fmt.Sprintf("zoo%d.yaml", i)))
					if err := os.WriteFile(paths[i], []byte(zoo[name](herd.size)), 0o600); err != nil {
						b.Fatal(err)
					}
				}
				path := strings.Join(paths, "\n")
				for b.Loop() {
					cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestZooAnimal$")
					cmd.Env = append(os.Environ(), zooVariable+"="+path)
					out, err := cmd.Output()
					if err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
					_, line, _ := strings.Cut(string(out), "\nzoo ")
					fields := strings.Fields(line)
					if len(fields) < 3 {
						b.Fatalf("no measurement: %s", out)
					}
					ns, _ := strconv.Atoi(fields[0])
					peak, _ := strconv.Atoi(fields[1])
					most := 5 * time.Second
					if name == "honest" {
						most = 10 * time.Second
					}
					// Time on a busy machine is not the program's: then what it computed counts.
					took := min(time.Duration(ns), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
					if took > most || peak<<10 > zooMemory {
						b.Errorf("took %s and %d MiB", took, peak>>10)
					}
					if name == "honest" && herd.files == 1 && fields[2] != "true" {
						b.Error("refused")
					}
					b.ReportMetric(float64(peak)/1024, "peak-MiB")
					b.ReportMetric(took.Seconds(), "cpu-s")
				}
			})
		}
	}
}
