package main

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
)

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
