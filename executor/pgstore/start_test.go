package pgstore_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/executor/pgstore/pgtest"
)

// TestScriptIsWhatInitDoes: what state init --print shows makes a store, and can be run
// again.
func TestScriptIsWhatInitDoes(t *testing.T) {
	d := emptyDatabase(t)
	owner := d.as("owner")
	for range 2 {
		if _, err := owner.PgConn().Exec(t.Context(), pgstore.Script(pgstore.DefaultSchema, []string{"writer"})).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	d.open()
	if done := d.init("reader"); !done.Already {
		t.Errorf("Init after the script = %+v", done)
	}
	if psql, err := exec.LookPath("psql"); err == nil {
		d := emptyDatabase(t)
		cmd := exec.Command(psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.URL("owner", d.name))
		cmd.Stdin = strings.NewReader(pgstore.Script(`odd "name"`, []string{"writer"}))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		cfg := d.config("writer")
		cfg.Schema = `odd "name"`
		s, err := pgstore.Open(t.Context(), cfg, pgstore.Writing)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Deliver(t.Context(), report("run-1", "no"), executor.Destination{}, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignSchema: neither init nor its script spoils what is of a newer version, of none
// that there is, or of something else.
func TestForeignSchema(t *testing.T) {
	d := newDatabase(t)
	for _, version := range []int{-1, 0, pgstore.Version + 1} {
		d.sql("UPDATE privsync.version SET version = $1", version)
		if _, err := pgstore.Init(t.Context(), d.config("owner"), []string{"writer"}); !errors.Is(err, pgstore.ErrVersion) {
			t.Errorf("Init over version %d = %v, want ErrVersion", version, err)
		}
		if _, err := d.as("owner").PgConn().Exec(t.Context(), pgstore.Script(pgstore.DefaultSchema, nil)).ReadAll(); err == nil || !strings.Contains(err.Error(), fmt.Sprint("has the version ", version)) {
			t.Errorf("the script over version %d = %v", version, err)
		}
		if _, err := pgstore.Open(t.Context(), d.config("writer"), pgstore.Reading); !errors.Is(err, pgstore.ErrVersion) {
			t.Errorf("Open of version %d = %v, want ErrVersion", version, err)
		}
		if got := d.value("SELECT string_agg(version::text, ' ') FROM privsync.version"); got != fmt.Sprint(version) {
			t.Errorf("the version %d is %s now", version, got)
		}
	}
	d.sql("CREATE SCHEMA busy AUTHORIZATION owner")
	d.sql("CREATE TABLE busy.run (name text)")
	d.sql("CREATE SCHEMA empty AUTHORIZATION owner")
	cfg := d.config("owner")
	cfg.Schema = "busy"
	if _, err := pgstore.Init(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "tables of something else") {
		t.Errorf("Init in a schema of something else = %v", err)
	}
	cfg.Schema = "empty"
	if _, err := pgstore.Init(t.Context(), cfg, nil); err != nil {
		t.Errorf("Init in an empty schema = %v", err)
	}
}

// TestConnectionLostWithoutLock: a run without a lock loses nothing with its connection, and
// makes another one for its report.
func TestConnectionLostWithoutLock(t *testing.T) {
	d := newDatabase(t)
	s := d.open()
	d.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'writer' AND datname = current_database()")
	if _, err := s.Deliver(t.Context(), report("run-1", "no"), executor.Destination{}, nil); err != nil {
		t.Errorf("Deliver after the connection was lost = %v", err)
	}
}

// TestDefaultsOfTheDatabase: what a database sets for its sessions spoils no chain.
func TestDefaultsOfTheDatabase(t *testing.T) {
	d := newDatabase(t)
	for _, setting := range []string{"default_transaction_isolation = 'serializable'", "statement_timeout = '300ms'", "lock_timeout = '1ms'"} {
		d.sql("ALTER DATABASE " + d.name + " SET " + setting)
	}
	errs := make(chan error)
	stores := make([]*pgstore.Store, 6)
	for i := range stores {
		stores[i] = d.open()
	}
	d.sql("BEGIN")
	d.sql("SELECT pg_advisory_xact_lock(privsync.lock_number('chains'))")
	for i, s := range stores {
		go func() {
			_, err := s.Deliver(context.Background(), report(fmt.Sprint("run-", i), "no"), executor.Destination{}, nil)
			errs <- err
		}()
	}
	d.sql("SELECT pg_sleep(0.5)") // all of them wait
	d.sql("COMMIT")
	for range stores {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestTwoInitAtOnce: several owners' jobs may begin together.
func TestTwoInitAtOnce(t *testing.T) {
	d := emptyDatabase(t)
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := pgstore.Init(context.Background(), d.config("owner"), []string{"writer"})
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	d.open()
}

// TestPoolerIsFound: a pooler that gives each transaction the next of its sessions takes
// away the lock that one has taken.
func TestPoolerIsFound(t *testing.T) {
	d := newDatabase(t)
	for _, sessions := range []int{1, 2, 3} {
		pooler, err := server.NewPooler(sessions, "writer", d.name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pgstore.Open(t.Context(), pgstore.Config{URL: pooler.URL("writer", d.name)}, pgstore.Writing)
		var hint *pgstore.HintedError
		if !errors.Is(err, pgstore.ErrPooler) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "pool_mode=session") {
			t.Errorf("Open behind a pooler of %d sessions = %v, want ErrPooler", sessions, err)
		}
		pooler.Close()
	}
}

// TestClockThatIsOff: runs follow each other as the store saw them, whatever the clocks of
// their machines say.
func TestClockThatIsOff(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		previous := ""
		for i, off := range []time.Duration{0, -time.Hour, time.Hour, 0} {
			s := open()
			r := executor.Refuse(nil, executor.Options{RunID: fmt.Sprint("run-", i), StartedAt: time.Now().Add(off)}, &executor.Error{Message: "no"})
			if _, err := s.Deliver(t.Context(), r, s.Fallback(), nil); err != nil {
				t.Fatal(err)
			}
			if r.Previous != previous {
				t.Errorf("report %d follows %q, want %q", i, r.Previous, previous)
			}
			previous = r.Digest
			h := holder(fmt.Sprint("run-", i))
			h.Started = time.Now().Add(off)
			l, err := s.Lock(t.Context(), target, h, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestOpenRunsAreInTheOrderOfTheirLocks, and not of their clocks.
func TestOpenRunsAreInTheOrderOfTheirLocks(t *testing.T) {
	d := newDatabase(t)
	for i, off := range []time.Duration{time.Hour, -time.Hour} {
		s := d.open()
		take(t, s, fmt.Sprint("run-", i))
		j, err := s.OpenJournal(t.Context(), planOf(1), executor.Options{RunID: fmt.Sprint("run-", i), StartedAt: time.Now().Add(off)}, executor.Destination{})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Abandon(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := d.open()
	l, err := s.Lock(t.Context(), target, holder("run-2"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if left := l.Left(); len(left) != 1 || left[0].RunID != "run-1" {
		t.Errorf("Left = %+v, want run-1, which did not give the lock back", left)
	}
	dead, err := s.FindOpen(t.Context(), nil)
	if err != nil || len(dead) != 2 || dead[0].Run.ID != "run-0" || dead[1].Run.ID != "run-1" {
		t.Errorf("FindOpen = %v, %v", dead, err)
	}
}

// fakeSigner signs with an ed25519 key.
type fakeSigner struct{ key ed25519.PrivateKey }

func (s fakeSigner) Sign(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(r)
	return ed25519.Sign(s.key, text), err
}

func (s fakeSigner) Check(r io.Reader, signature []byte) error {
	text, err := io.ReadAll(r)
	if err == nil && !ed25519.Verify(s.key.Public().(ed25519.PublicKey), text, signature) {
		err = errors.New("the signature does not hold")
	}
	return err
}

// TestSignedChain: a chain that is signed needs the key, in a folder as in a store; and
// what is exported bears the same signatures.
func TestSignedChain(t *testing.T) {
	one, two := fakeSigner{ed25519.NewKeyFromSeed(make([]byte, 32))}, fakeSigner{ed25519.NewKeyFromSeed([]byte(strings.Repeat("2", 32)))}
	both(t, func(t *testing.T, open func() executor.Store) {
		s := open()
		for i := range 2 {
			if _, err := s.Deliver(t.Context(), report(fmt.Sprint("run-", i), "no"), s.Fallback(), one); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Check(t.Context(), s.Fallback(), one); err != nil {
			t.Errorf("Check with the key = %v", err)
		}
		for name, signer := range map[string]executor.Signer{"no": nil, "another": two} {
			if err := s.Check(t.Context(), s.Fallback(), signer); !errors.Is(err, executor.ErrUnsigned) {
				t.Errorf("Check with %s key = %v, want ErrUnsigned", name, err)
			}
		}
		store, ok := s.(*pgstore.Store)
		if !ok {
			return
		}
		dir := filepath.Join(t.TempDir(), "out")
		if n, err := store.Export(t.Context(), dir); err != nil || n != 2 {
			t.Fatalf("Export = %d, %v", n, err)
		}
		if err := executor.CheckSigned(dir, one); err != nil {
			t.Errorf("the exported chain: %v", err)
		}
		into := newDatabase(t).open()
		if done, err := into.Import(t.Context(), dir); err != nil || done.Added != 2 {
			t.Fatalf("Import = %+v, %v", done, err)
		}
		if err := into.Check(t.Context(), executor.Destination{}, one); err != nil {
			t.Errorf("Check of the imported chain = %v", err)
		}
	})
}

// TestLargeReport: a document of many parts comes back as it was.
func TestLargeReport(t *testing.T) {
	d := newDatabase(t)
	s := d.open()
	r := report("run-1", "no")
	r.Error.Message = strings.Repeat("a report of some size; ", 200_000)
	if _, err := s.Deliver(t.Context(), r, executor.Destination{}, nil); err != nil {
		t.Fatal(err)
	}
	if n := d.value("SELECT count(*) FROM privsync.part"); n != "5" {
		t.Errorf("%s parts", n)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := s.Export(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	back, err := executor.ReadReportFile(filepath.Join(dir, executor.ReportFileName(r.Run)))
	if err != nil || back.Digest != r.Digest {
		t.Errorf("the report that came back: %v", err)
	}
}

// TestHostileNames: names of principals and of runs cannot break out of a row.
func TestHostileNames(t *testing.T) {
	d := newDatabase(t)
	s := d.open()
	odd := "\x00'; DROP TABLE privsync.report; --\u202e\xff"
	h := holder(odd)
	h.Host, h.User = odd, odd
	l, err := s.Lock(t.Context(), target, h, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	plan := planOf(1)
	plan.Changes[0].Principal.Name, plan.Changes[0].Principal.Login = odd, odd
	plan.Policy.Name = odd
	j, err := s.OpenJournal(t.Context(), plan, executor.Options{RunID: "run-1" + odd, Command: odd}, executor.Destination{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Abandon(); err != nil {
		t.Fatal(err)
	}
	dead, err := s.FindOpen(t.Context(), nil)
	if err != nil || len(dead) != 1 {
		t.Fatalf("FindOpen = %v, %v", dead, err)
	}
	if name := d.value("SELECT principal FROM privsync.journal WHERE type = 'change'"); strings.ContainsRune(name, 0x202e) || strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
		t.Errorf("the name in the row is %q", name)
	}
}

// TestNothingListens: the error names the store and no secret.
func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, url := range []string{"postgres://writer@" + addr + "/db?sslmode=disable", "postgres://writer@/db?host=" + os.TempDir() + "/none"} {
		_, err := pgstore.Open(t.Context(), pgstore.Config{URL: url, Password: "s3cret-pw"}, pgstore.Writing)
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "connect to the store postgres://writer@") {
			t.Errorf("Open(%s) = %v", url, err)
		}
	}
}

// TestFullDisk: a journal that cannot be written stops the run, and can be closed when there
// is room again.
func TestFullDisk(t *testing.T) {
	d := newDatabase(t)
	full := false
	proxy, err := server.NewProxy(func(_ int, text string) pgtest.Action {
		if full && strings.Contains(text, "INSERT") {
			return pgtest.Refuse
		}
		return pgtest.Pass
	})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s, err := pgstore.Open(t.Context(), pgstore.Config{URL: proxy.URL("writer", d.name)}, pgstore.Writing)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	take(t, s, "run-1")
	full = true
	_, err = s.OpenJournal(t.Context(), planOf(1), executor.Options{RunID: "run-1"}, executor.Destination{})
	var hint *pgstore.HintedError
	if err == nil || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "make room") {
		t.Fatalf("OpenJournal on a full disk = %v", err)
	}
	full = false
	if _, err := s.OpenJournal(t.Context(), planOf(1), executor.Options{RunID: "run-2"}, executor.Destination{}); err != nil {
		t.Errorf("OpenJournal with room again = %v", err)
	}
}
