package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"privsync/executor"
	"privsync/executor/pgstore"
)

// TestHolderThatLostItsConnectionWritesNothing: the database refuses the rows of a fence
// that somebody else's follows, and of a session that does not hold the lock.
func TestHolderThatLostItsConnectionWritesNothing(t *testing.T) {
	d := newDatabase(t)
	s := d.open()
	take(t, s, "run-1")
	j, err := s.OpenJournal(t.Context(), planOf(2), executor.Options{RunID: "run-1"}, executor.Destination{})
	if err != nil {
		t.Fatal(err)
	}
	d.sql("SELECT pg_terminate_backend(backend) FROM privsync.hold")
	other := d.open()
	l, err := other.Lock(t.Context(), target, holder("run-2"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	rows := d.value("SELECT count(*) FROM privsync.journal")
	if err := j.Abandon(); err != nil && !errors.Is(err, pgstore.ErrLost) {
		t.Errorf("Abandon = %v", err)
	}
	r := report("run-1", "no")
	if _, err := s.Deliver(t.Context(), r, executor.Destination{}, nil); !errors.Is(err, pgstore.ErrLost) {
		t.Errorf("Deliver of the run that lost its lock = %v, want ErrLost", err)
	}
	if got := d.value("SELECT count(*) FROM privsync.journal"); got != rows {
		t.Errorf("the journal has %s rows, had %s", got, rows)
	}

	// By hand, past the program.
	for what, sql := range map[string]string{
		"an old fence":          "INSERT INTO privsync.journal (run, fence, seq, type, at, record) SELECT run, fence, max(seq) + 1, 'intent', now(), '{}' FROM privsync.journal GROUP BY run, fence",
		"the newest fence":      "INSERT INTO privsync.journal (run, fence, seq, type, at, record) SELECT run, (SELECT max(fence) FROM privsync.hold), max(seq) + 1, 'intent', now(), '{}' FROM privsync.journal GROUP BY run",
		"no fence":              "INSERT INTO privsync.journal (run, seq, type, at, record) SELECT run, max(seq) + 1, 'intent', now(), '{}' FROM privsync.journal GROUP BY run",
		"a closing row":         "INSERT INTO privsync.journal (run, seq, type, at, chain, length, digest) SELECT run, max(seq) + 1, 'closed', now(), 'main', 1, 'x' FROM privsync.journal GROUP BY run",
		"a fence without lock":  "INSERT INTO privsync.hold (url, keys, run, host, pid, account) VALUES ('u', ARRAY['k'], 'r', 'h', 1, 'a')",
		"a change of a journal": "UPDATE privsync.journal SET type = 'x'",
		"a removal":             "DELETE FROM privsync.journal",
		"a change of a report":  "UPDATE privsync.report SET digest = 'x'",
		"a removed report":      "DELETE FROM privsync.report",
		"an emptied table":      "TRUNCATE privsync.part",
		"another version":       "INSERT INTO privsync.version (version) VALUES (99)",
	} {
		_, err := d.as("writer").Exec(context.Background(), sql)
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		if !strings.Contains(err.Error(), "PS00") && !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
