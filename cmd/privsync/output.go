package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
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

// keptOn writes to a stream of the process as long as somebody reads it. Once the
// reader is gone (a pipe's other end is closed, a terminal was hung up) it takes what
// is written and drops it: who looked on went away, which ends no run. Any other
// error, a full disk, is returned as it is. It may be used concurrently if the stream
// may.
type keptOn struct {
	w    io.Writer
	lost atomic.Bool
}

// Write writes p, or drops it.
func (k *keptOn) Write(p []byte) (int, error) {
	if k.lost.Load() {
		return len(p), nil
	}
	n, err := k.w.Write(p)
	if err != nil && readerLost(k.w, err) {
		k.lost.Store(true)
		return len(p), nil
	}
	return n, err
}

// readerLost reports whether err, of a write to w, says that nobody reads it.
func readerLost(w io.Writer, err error) bool {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	if !errors.Is(err, syscall.EIO) {
		return false
	}
	// Of a file EIO says that the disk is broken, of a terminal that it is closed.
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// stream returns the stream behind w, to ask what kind it is.
func stream(w io.Writer) io.Writer {
	for {
		switch v := w.(type) {
		case *sharedWriter:
			w = v.w
		case *keptOn:
			w = v.w
		default:
			return w
		}
	}
}
