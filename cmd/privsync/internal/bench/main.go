//go:build linux

// Command bench measures privsync against the simulated server and compares
// what it finds with the limits that the project promises.
//
//	go run ./cmd/privsync/internal/bench [--json] [--short] [name…]
//
// It prints a Markdown table, or JSON, on stdout and exits with 1 if a limit is
// exceeded. Speed is measured as a ratio to something else in the same run
// (a bare client, the server's own latency, the YAML library), so that the
// machine does not matter much; counts of requests are exact. What must be a process of its
// own is one: the simulated server, and privsync itself, built from this source
// tree (process.go). scene.go makes the servers and the policies; each of the
// other files holds a measurement.
//
// It does not test: that the results are right is for the tests to say.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
)

// A measurement is one part of the table.
type measurement struct {
	name string
	what string
	run  func(ctx context.Context, b *bench) error
}

func measurements() []measurement {
	return []measurement{
		{"requests", "requests by endpoint, against the formula for the shape of the policy", measureRequests},
		{"wall", "wall time of an apply with 20 ms latency", measureWall},
		{"store", "wall time of an apply with the journal in PostgreSQL against one in a folder", measureStore},
		{"rate", "the rate of requests under --rate", measureRate},
		{"overhead", "throughput against a bare client and the simulator's own", measureOverhead},
		{"progress", "CPU time with a progress bar against none", measureProgress},
		{"planner", "CPU time of the planner alone", measurePlanner},
		{"validate", "time of validate against the YAML library alone", measureValidate},
		{"growth", "time and memory of plan by the number of principals", measureGrowth},
		{"memory", "peak resident memory of plan and apply", measureMemory},
		{"documents", "plans, reports and audits of very many, written and read back", measureDocuments},
	}
}

// A row is one line of the table. A limit of 0 is none.
type row struct {
	Benchmark string  `json:"benchmark"`
	Case      string  `json:"case"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Limit     float64 `json:"limit,omitempty"`
	AtLeast   bool    `json:"atLeast,omitempty"` // the value must be at least the limit, not at most
	OK        bool    `json:"ok"`
	Detail    string  `json:"detail,omitempty"`
}

// bench is one run of this program.
type bench struct {
	short bool
	log   io.Writer
	dir   string // for files; removed at the end
	exe   string // privsync, once it is built
	rows  []row
	now   string // name of the measurement that runs
}

// scale returns full, or brief in a short run.
func (b *bench) scale(full, brief int) int {
	if b.short {
		return brief
	}
	return full
}

// report adds a row without a limit.
func (b *bench) report(name string, value float64, unit, detail string) {
	b.add(row{Case: name, Value: value, Unit: unit, OK: true, Detail: detail})
}

// atMost adds a row whose value may not exceed the limit. A short run is too
// short for a time, or what is constant, to be judged: it judges counts alone.
func (b *bench) atMost(name string, value float64, unit string, limit float64, detail string) {
	b.add(row{Case: name, Value: value, Unit: unit, Limit: limit, OK: b.short || value <= limit, Detail: detail})
}

// atLeast adds a row whose value may not fall below the limit.
func (b *bench) atLeast(name string, value float64, unit string, limit float64, detail string) {
	b.add(row{Case: name, Value: value, Unit: unit, Limit: limit, AtLeast: true, OK: b.short || value >= limit, Detail: detail})
}

func (b *bench) add(r row) {
	r.Benchmark = b.now
	b.rows = append(b.rows, r)
	fmt.Fprintf(b.log, "  %s: %s%s %s\n", r.Case, number(r.Value), unitOf(r.Unit), r.Detail)
}

func main() {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], childPrefix) {
		if err := runChild(strings.TrimPrefix(os.Args[1], childPrefix)); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its exit.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	short := fs.Bool("short", false, "small numbers, and only counts are judged: does everything still run?")
	profile := fs.String("cpuprofile", "", "write a CPU profile of this process to `FILE`")
	list := measurements()
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: bench [--json] [--short] [name…]")
		for _, m := range list {
			fmt.Fprintf(stderr, "  %-10s %s\n", m.name, m.what)
		}
		fs.PrintDefaults()
	}
	if fs.Parse(args) != nil {
		return 2
	}
	for _, name := range fs.Args() {
		if !slices.ContainsFunc(list, func(m measurement) bool { return m.name == name }) {
			fmt.Fprintf(stderr, "bench: no measurement is called %q\n", name)
			return 2
		}
	}
	dir, err := os.MkdirTemp("", "privsync-bench-")
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 1
		}
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	b := &bench{short: *short, log: stderr, dir: dir}
	for _, m := range list {
		if fs.NArg() > 0 && !slices.Contains(fs.Args(), m.name) {
			continue
		}
		fmt.Fprintf(stderr, "%s: %s\n", m.name, m.what)
		b.now = m.name
		if err := m.run(ctx, b); err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", m.name, err)
			return 1
		}
	}
	if *asJSON {
		err = b.printJSON(stdout)
	} else {
		err = b.printTable(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	over := 0
	for _, r := range b.rows {
		if !r.OK {
			over++
		}
	}
	if over > 0 {
		fmt.Fprintf(stderr, "bench: %d of %d values exceed their limits\n", over, len(b.rows))
		return 1
	}
	return 0
}

// document is the JSON that --json prints.
type document struct {
	Go    string `json:"go"`
	CPUs  int    `json:"cpus"`
	Short bool   `json:"short"`
	Rows  []row  `json:"rows"`
}

func (b *bench) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(document{Go: runtime.Version(), CPUs: runtime.NumCPU(), Short: b.short, Rows: b.rows})
}

// printTable prints the rows as a Markdown table that is also readable as text.
func (b *bench) printTable(w io.Writer) error {
	cells := [][]string{{"benchmark", "case", "measured", "limit", "", "detail"}}
	for _, r := range b.rows {
		limit, verdict := "", ""
		if r.Limit != 0 {
			sign := "≤ "
			if r.AtLeast {
				sign = "≥ "
			}
			limit = sign + number(r.Limit) + unitOf(r.Unit)
			if verdict = "ok"; b.short && r.Unit != "requests" {
				verdict = "not judged"
			}
		}
		if !r.OK {
			verdict = "OVER"
		}
		cells = append(cells, []string{r.Benchmark, r.Case, number(r.Value) + unitOf(r.Unit), limit, verdict, r.Detail})
	}
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var out strings.Builder
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(&out, "| %s%s ", c, strings.Repeat(" ", widths[i]-len([]rune(c))))
		}
		out.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				out.WriteString("|" + strings.Repeat("-", width+2))
			}
			out.WriteString("|\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func unitOf(unit string) string {
	if unit == "" || unit == "×" {
		return unit
	}
	return " " + unit
}

// number prints v with as many digits as matter.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// median returns the median of a list that is not empty.
func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
