package executor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"privsync/document"
)

// In a [Folder] a journal is a file of JSON lines in the folder journals. Every line
// carries a checksum. The lines up to ready are written under another name and
// renamed.

const (
	journalSuffix = ".jsonl"
	closedSuffix  = ".done"

	// keepJournals is how many closed journals are kept as evidence.
	keepJournals = 20
)

// line is one line of a journal. The checksum covers the bytes of Record.
type line struct {
	CRC    string          `json:"crc"`
	Record json.RawMessage `json:"record"`
}

func checksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}

// syncedFile is what a journal needs of an [os.File].
type syncedFile interface {
	io.WriteCloser
	Sync() error
}

// fileJournal is the [JournalWriter] of a [Folder].
type fileJournal struct {
	path string
	temp string        // its name until Begin
	f    syncedFile    // is synced while Write is called
	bw   *bufio.Writer // nil from Begin on: then every record is written at once
}

// newFileJournal makes the journal of run in the state folder dir, which is made if it
// does not exist.
func newFileJournal(dir string, run Run) (*fileJournal, error) {
	dir = journalDir(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, runFileName(run)+journalSuffix)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists already", path)
	}
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileJournal{path: path, temp: temp, f: f, bw: bufio.NewWriterSize(f, 64<<10)}, nil
}

// Write writes one line for each record.
func (j *fileJournal) Write(records []Record) error {
	for _, r := range records {
		text, err := json.Marshal(line{CRC: checksum(r.Text), Record: r.Text})
		if err != nil {
			return err
		}
		text = append(text, '\n')
		if j.bw != nil {
			_, err = j.bw.Write(text)
		} else {
			_, err = j.f.Write(text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Begin gives the file its name.
func (j *fileJournal) Begin() error {
	if err := j.bw.Flush(); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(j.temp, j.path); err != nil {
		return err
	}
	j.bw = nil
	return document.SyncDir(filepath.Dir(j.path))
}

// Sync waits for the disk.
func (j *fileJournal) Sync() error { return j.f.Sync() }

// Close renames the file. The rename says all, whatever the disk made of the rest.
func (j *fileJournal) Close() error {
	_ = j.f.Close()
	return putAside(j.path)
}

// Abandon closes the file.
func (j *fileJournal) Abandon() error {
	err := j.f.Close()
	if j.bw != nil {
		err = errors.Join(err, os.Remove(j.temp))
	}
	return err
}

// ReportsDir returns the folder, in the state folder, for reports that have no
// other place.
func ReportsDir(state string) string { return filepath.Join(state, "reports") }

func journalDir(state string) string { return filepath.Join(state, "journals") }

// journalFiles returns the paths of the journals in a state folder whose names end with
// suffix, oldest first.
func journalFiles(state, suffix string) ([]string, error) {
	dir := journalDir(state)
	names, err := filesIn(dir, func(name string) bool { return strings.HasSuffix(name, suffix) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journals: %w", err)
	}
	for i := range names {
		names[i] = filepath.Join(dir, names[i])
	}
	return names, nil
}

// putAside renames a journal that is closed, and removes the oldest of those
// that were put aside before.
func putAside(path string) error {
	if err := os.Rename(path, path+closedSuffix); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := document.SyncDir(dir); err != nil {
		return err
	}
	old, _ := journalFiles(filepath.Dir(dir), journalSuffix+closedSuffix)
	for i := 0; i < len(old)-keepJournals; i++ {
		_ = os.Remove(old[i]) // another run may have been faster
	}
	return nil
}
