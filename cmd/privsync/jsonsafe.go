package main

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonSafe passes JSON through and writes the characters that could fool a
// terminal or a reader as \u escapes. In JSON they can stand only inside
// strings, where the escape means the same, so the document stays equal.
// encoding/json escapes C0 only. One goroutine at a time may write.
type jsonSafe struct {
	w    io.Writer
	rest []byte // the start of a character that the last Write ended in
}

// Write passes p on. It returns len(p) unless the writer behind it fails.
func (j *jsonSafe) Write(p []byte) (int, error) {
	in := p
	if len(j.rest) > 0 {
		in = append(j.rest, p...)
		j.rest = nil
	}
	out := make([]byte, 0, len(in)+16)
	for len(in) > 0 {
		if in[0] < utf8.RuneSelf {
			if in[0] == 0x7f {
				out = append(out, `\u007f`...)
			} else {
				out = append(out, in[0])
			}
			in = in[1:]
			continue
		}
		if !utf8.FullRune(in) {
			j.rest = append([]byte(nil), in...)
			break
		}
		r, size := utf8.DecodeRune(in)
		if fools(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, in[:size]...)
		}
		in = in[size:]
	}
	if _, err := j.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// fools reports whether r is a C1 control, a line separator, a mark that
// changes reading direction, or has no width.
func fools(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0x9f, r == 0x2028, r == 0x2029,
		r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x2069, r == 0xfeff:
		return true
	}
	return false
}
