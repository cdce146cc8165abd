package policy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// largePolicy has n entries as administrators write them: mostly sets, some
// privileges of their own, pins, expiry.
func largePolicy(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`apiVersion: privsync/v1
kind: Policy
metadata: {name: large}
privilegeSets:
  base:
    privileges: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  analyst:
    privileges: [Use Office Intelligence, Web administration, 30, 31, 32]
    include: [base]
principals:
`)
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "  - user: user%06d\n    sets: [analyst]\n", i)
		case 1:
			fmt.Fprintf(&b, "  - user: user%06d\n    id: %032X\n    sets: [base]\n    mode: authoritative\n", i, i+1)
		case 2:
			fmt.Fprintf(&b, "  - user: user%06d\n    privileges: [Monitor Database Connections, 54]\n    forbid: [Web administration]\n", i)
		case 3:
			fmt.Fprintf(&b, "  - user: user%06d\n    sets: [base]\n    privileges:\n      - {privilege: 54, until: 2026-12-31, reason: CHG-%d}\n", i, i)
		}
	}
	return b.Bytes()
}

// BenchmarkValidate100k measures the time of Load as a multiple of what yaml.v3
// alone needs to parse the same file into nodes, in alternating runs.
func BenchmarkValidate100k(b *testing.B) {
	data := largePolicy(100_000)
	path := filepath.Join(b.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	var alone, load time.Duration
	for b.Loop() {
		runtime.GC()
		start := time.Now()
		var root yaml.Node
		if err := yaml.Unmarshal(data, &root); err != nil {
			b.Fatal(err)
		}
		alone += time.Since(start)
		root = yaml.Node{}
		runtime.GC()
		start = time.Now()
		p, err := Load([]string{path}, Options{})
		load += time.Since(start)
		if err != nil || len(p.Principals) != 100_000 {
			b.Fatalf("Load: %v", err)
		}
	}
	b.ReportMetric(alone.Seconds()*1000/float64(b.N), "yaml-ms")
	b.ReportMetric(load.Seconds()*1000/float64(b.N), "load-ms")
	b.ReportMetric(load.Seconds()/alone.Seconds(), "ratio")
}

// BenchmarkLoadMemory100k measures what Load needs at its peak and what the
// policy keeps.
func BenchmarkLoadMemory100k(b *testing.B) {
	path := filepath.Join(b.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, largePolicy(100_000), 0o600); err != nil {
		b.Fatal(err)
	}
	var peak, kept uint64
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		done, stopped := make(chan struct{}), make(chan uint64)
		go func() {
			var most uint64
			for {
				select {
				case <-done:
					stopped <- most
					return
				case <-time.After(5 * time.Millisecond):
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
			}
		}()
		p, err := Load([]string{path}, Options{})
		close(done)
		peak = max(peak, <-stopped)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		kept = max(kept, after.HeapInuse-min(after.HeapInuse, before.HeapInuse))
		runtime.KeepAlive(p)
	}
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	b.ReportMetric(float64(kept)/(1<<20), "kept-MiB")
}
