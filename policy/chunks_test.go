package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parseWith parses one file with chunks of about size bytes.
func parseWith(data []byte, size int) (*Policy, error, bool) {
	out := &collector{}
	p := newParser("p.yaml", out)
	p.chunkSize = size
	var chunked bool
	if p.readable(data) {
		trial := newParser("p.yaml", &collector{})
		trial.chunkSize = size
		_, chunked = trial.parseChunks(data)
	}
	policy := assemble([]*document{p.parse(data)}, "", out, &collector{})
	if err := out.error(); err != nil {
		return nil, err, chunked
	}
	return policy, nil, chunked
}

func TestChunksGiveTheSame(t *testing.T) {
	const tail = "unlisted: report\nrules: [{name: r, deny: [1]}]\n"
	entries := func(indent string) string {
		var b strings.Builder
		b.WriteString("principals:   # all of them\n# first\n\n")
		for i := range 50 {
			fmt.Fprintf(&b, "%[1]s- user: u%[2]d\n%[1]s  privileges:\n%[1]s  - %[3]d\n%[1]s  -  {privilege: \"two\n%[1]s      lines\"}\n\n%[1]s# next\n", indent, i, i+1)
		}
		return b.String()
	}
	tests := []struct {
		name, data string
		chunked    bool
	}{
		{"indented", header + entries("  ") + tail, true},
		{"not indented", header + entries("") + tail, true},
		{"to the end", header + tail + entries("    "), true},
		{"without a last line break", strings.TrimSpace(header + tail + entries("    ")), true},
		{"first a set", header + "privilegeSets: {s: {privileges: [1]}}\n" + entries("  "), true},
		{"aliases within a chunk", header + "principals:\n- user: a\n  privileges: &x [1]\n  forbid: [2]\n- &y\n  user: b\n  privileges: [3]\n", true},
		{"aliases across chunks", header + "principals:\n- user: a\n  privileges: &x [1]\n- user: b\n  privileges: *x\n- user: c\n  privileges: *x\n", false},
		{"anchored list", header + "principals: &p\n- user: a\n  privileges: [1]\n- user: b\n  privileges: [1]\n", false},
		{"flow list", header + "principals: [{user: a, privileges: [1]},\n {user: b, privileges: [1]}]\n", false},
		{"flow list on the next line", header + "principals:\n  [{user: a, privileges: [1]},\n  {user: b, privileges: [1]}]\n", false},
		{"not a list", header + "principals:\n  user: a\n  id: 5\n", false},
		{"list and more", header + "principals:\n  - user: a\n    privileges: [1]\n  - user: b\n    privileges: [1]\n  more: 1\n", false},
		{"tag below", header + "principals:\n  - user: a\n    privileges: [1]\n  - user: b\n    privileges: [1]\n !  ", false},
		{"tag at the left-most column", header + "principals:\n  - user: a\n    privileges: [1]\n  - user: b\n    privileges: [1]\n!\n", false},
		{"anchor at the left-most column", header + "principals:\n  - user: a\n    privileges: [1]\n  - user: b\n    privileges: [1]\n&a\nunlisted: report\n", false},
		{"dedented", header + "principals:\n   - user: a\n     privileges: [1]\n   - user: b\n     privileges: [1]\n - user: c\n", false},
		{"quotation across items", header + "principals:\n- user: \"a\n- user: b\"\n  privileges: [1]\n- user: c\n  privileges: [1]\n", false},
		{"flow across items", header + "principals:\n- user: a\n  privileges: [1,\n- 2]\n- user: b\n  privileges: [1]\n", false},
		{"key within a quotation", header + "unlisted: \"report\nprincipals:\n- user: a\n- user: b\"\n", false},
		{"twice", header + entries("") + entries("  "), true},
		{"windows", strings.ReplaceAll(header+entries("  ")+tail, "\n", "\r\n"), false},
		{"other line breaks", header + "metadata:\u2028  name: x\n" + entries("  "), false},
		{"tabs", header + "principals:\n- user: a\n\t- user: b\n- user: c\n", false},
		{"two documents", header + entries("") + "---\na: b\n", false},
		{"key at the very end", header + "principals:", false},
		{"no items", header + "principals:\n# none\n", false},
		{"problems", header + "principals:\n- user: a\n  privileges: [a, a]\n- user: A\n  sets: [x]\n- x\n-\n- user: b\n  fobrid: [1]\n" + "scope: {level: x}\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole, wantErr, _ := parseWith([]byte(tt.data), len(tt.data))
			for _, size := range []int{1, 64, 300} {
				got, err, chunked := parseWith([]byte(tt.data), size)
				if diff := cmp.Diff(problemLines(wantErr), problemLines(err)); diff != "" {
					t.Errorf("chunks of %d: problems (-whole +chunks):\n%s", size, diff)
				}
				if diff := cmp.Diff(whole, got); diff != "" {
					t.Errorf("chunks of %d: policy (-whole +chunks):\n%s", size, diff)
				}
				if size == 1 && chunked != tt.chunked {
					t.Errorf("read in chunks: %v, want %v", chunked, tt.chunked)
				}
			}
		})
	}
}

func TestLargeFile(t *testing.T) {
	data := largePolicy(8_000)
	p, err := Parse("p.yaml", data)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	last := p.Principals[7_999]
	lines := strings.Split(string(data), "\n")
	if got := lines[last.Principal.Pos.Line-1]; got != "  - user: user007999" || len(p.Principals) != 8_000 {
		t.Errorf("the last of %d entries is at %q", len(p.Principals), got)
	}
	_, err = Parse("p.yaml", append(data, "  - user: user000000\n    id: x\n"...))
	want := []string{fmt.Sprintf(`p.yaml:%d:11: user "user000000" has an entry already: at p.yaml:11:11; make one entry of both`, len(lines)),
		fmt.Sprintf("p.yaml:%d:9: id must be 32 hexadecimal digits", len(lines)+1)}
	got := problemLines(err)
	if len(got) == 3 {
		got = append(got[1:2], got[2])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
