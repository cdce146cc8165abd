package main

import "io"

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
