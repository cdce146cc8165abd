package main

import (
	"fmt"
	"io"
	"unicode/utf8"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/document"
)

// writeAnswer writes to stdout what was asked for, as json, csv, markdown or text; doc is
// one of the documents that [render.Text] knows. An interrupt ends it.
func (a *app) writeAnswer(doc any, format string) error {
	return a.awaitDone(func() error {
		switch format {
		case "json":
			return writeJSON(a.stdout, doc)
		case "csv":
			return render.CSVDocument(a.stdout, doc)
		case "markdown":
			return render.Markdown(a.stdout, doc, render.MarkdownOptions{})
		}
		return render.Text(a.stdout, doc, a.textOptions(a.stdout))
	})
}

// jsonSafe passes JSON through and writes the characters that could fool a
// terminal or a reader as \u escapes, and what could be a command for the runner of
// a CI system (see [clean.Text]) as well. In JSON they can stand only inside
// strings, where the escape means the same, so the document stays equal.
// encoding/json escapes C0 only. One goroutine at a time may write.
type jsonSafe struct {
	w    io.Writer
	yaml bool   // it is YAML, where # and : stand outside of strings, too: they stay
	rest []byte // the start of a character that the last Write ended in
	last []byte // what was passed on last, as long as a mark that counts
}

// longestMark is the length of section_start.
const longestMark = 13

// Write passes p on. It returns len(p) unless the writer behind it fails.
func (j *jsonSafe) Write(p []byte) (int, error) {
	in := p
	if len(j.rest) > 0 {
		in = append(j.rest, p...)
		j.rest = nil
	}
	out := make([]byte, 0, len(in)+16)
	for len(in) > 0 {
		if c := in[0]; c < utf8.RuneSelf {
			if c == 0x7f || (c == '#' || c == ':') && j.command(out, c) {
				out = fmt.Appendf(out, `\u%04x`, c)
			} else {
				out = append(out, c)
			}
			in = in[1:]
			continue
		}
		if !utf8.FullRune(in) {
			j.rest = append([]byte(nil), in...)
			break
		}
		r, size := utf8.DecodeRune(in)
		switch {
		case !clean.Unsafe(r):
			out = append(out, in[:size]...)
		case j.yaml && r > 0xffff:
			out = fmt.Appendf(out, `\U%08x`, r)
		default:
			out = document.AppendEscape(out, r)
		}
		in = in[size:]
	}
	if _, err := j.w.Write(out); err != nil {
		return 0, err
	}
	j.last = append(j.last, out[max(0, len(out)-longestMark):]...)
	j.last = append(j.last[:0], j.last[max(0, len(j.last)-longestMark):]...)
	return len(p), nil
}

// command reports whether c, behind out and what was passed on before that, could
// be part of a command for a runner. No line of JSON begins with a string's text, so
// colons in a row are none.
func (j *jsonSafe) command(out []byte, c byte) bool {
	if j.yaml {
		return false
	}
	before := out[max(0, len(out)-longestMark):]
	if len(before) < longestMark {
		before = append(j.last[:len(j.last):len(j.last)], before...)
	}
	if c == '#' {
		return len(before) > 0 && before[len(before)-1] == '#'
	}
	return clean.SectionMark(string(before))
}

// writerTo makes an [io.WriterTo] of a function that writes.
type writerTo func(w *countingWriter) error

// WriteTo calls the function.
func (f writerTo) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := f(c)
	return c.n, err
}

// countingWriter counts what is written through it.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
