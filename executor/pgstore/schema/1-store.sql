-- What every run needs: who works on which server, what is about to be written, and
-- what was. Rows are added and never changed: the role of a run may read and insert.

CREATE TABLE IF NOT EXISTS version (
  version integer     PRIMARY KEY,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row each time that a run takes the lock of a server. The lock itself is an advisory
-- lock of the session, which ends with it; the fence is larger than that of everybody
-- who held the lock before.
CREATE TABLE IF NOT EXISTS hold (
  fence   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  url     text        NOT NULL,
  keys    text[]      NOT NULL CHECK (cardinality(keys) > 0),
  run     text        NOT NULL,
  host    text        NOT NULL,
  pid     integer     NOT NULL,
  account text        NOT NULL,
  server_lock boolean NOT NULL DEFAULT false, -- it takes the server's own lock as well
  since   timestamptz NOT NULL DEFAULT clock_timestamp(),
  backend integer     NOT NULL DEFAULT pg_backend_pid()
);

-- Who gave the lock back. The others died, or lost their connection.
CREATE TABLE IF NOT EXISTS released (
  fence bigint      PRIMARY KEY REFERENCES hold,
  at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Runs that left something here. The name is that of the run's report. A run with a
-- fence has a journal of what it wrote.
CREATE TABLE IF NOT EXISTS run (
  name       text        PRIMARY KEY,
  id         text        NOT NULL,
  command    text        NOT NULL,
  url        text        NOT NULL,
  started_at timestamptz NOT NULL, -- by the clock of the run's machine
  host       text        NOT NULL,
  pid        integer     NOT NULL,
  account    text        NOT NULL,
  tool       text        NOT NULL, -- version of privsync
  fence      bigint      REFERENCES hold
);

-- What runs announced before they did it, and what came of it. The row "closed" is the
-- last one of a run and names its report: the newest of a chain is known from it, whatever
-- became of the report.
--
-- That run and fence exist is checked by check_journal, once for all rows of a statement.
CREATE TABLE IF NOT EXISTS journal (
  run          text        NOT NULL,
  seq          integer     NOT NULL CHECK (seq > 0),
  type         text        NOT NULL,
  at           timestamptz NOT NULL, -- by the clock of the run's machine
  stored_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  fence        bigint,
  kind         text,                 -- user or group
  principal_id text,
  principal    text,                 -- its name
  login        text,
  record       json,
  chain        text,
  length       integer,              -- of the chain, with this report
  digest       text,                 -- of the report
  PRIMARY KEY (run, seq),
  CHECK ((type = 'closed') = (chain IS NOT NULL AND length IS NOT NULL AND digest IS NOT NULL)),
  CHECK ((type = 'closed') = (record IS NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS journal_closed ON journal (run) WHERE type = 'closed';
CREATE UNIQUE INDEX IF NOT EXISTS journal_head ON journal (chain, length) WHERE type = 'closed';

-- A chain that was taken from a folder whose oldest reports had been pruned.
CREATE TABLE IF NOT EXISTS chain (
  chain      text    PRIMARY KEY,
  pruned     integer NOT NULL CHECK (pruned >= 0),
  checkpoint text    NOT NULL
);

-- Reports: the document stands in part, byte for byte as it was sealed.
CREATE TABLE IF NOT EXISTS report (
  chain         text        NOT NULL,
  length        integer     NOT NULL CHECK (length > 0), -- its place in the chain, from 1 on
  run           text        NOT NULL UNIQUE REFERENCES run,
  file          text        NOT NULL, -- its name in a folder
  digest        text        NOT NULL UNIQUE CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
  previous      text        NOT NULL, -- digest of the report before it; empty: none
  signature     bytea,
  command       text        NOT NULL,
  outcome       text        NOT NULL,
  recovered     boolean     NOT NULL,
  started_at    timestamptz NOT NULL,
  finished_at   timestamptz NOT NULL,
  url           text        NOT NULL,
  environment   text        NOT NULL,
  policy        text        NOT NULL,
  policy_digest text        NOT NULL,
  base_digest   text        NOT NULL, -- of the policy without what differs by environment; empty: not told
  plan_digest   text        NOT NULL,
  summary       json        NOT NULL,
  stored_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain, length),
  UNIQUE (chain, previous)
);
CREATE INDEX IF NOT EXISTS report_stored_at ON report (stored_at);

CREATE TABLE IF NOT EXISTS part (
  chain  text    NOT NULL,
  length integer NOT NULL,
  n      integer NOT NULL CHECK (n >= 0),
  bytes  bytea   NOT NULL,
  PRIMARY KEY (chain, length, n),
  FOREIGN KEY (chain, length) REFERENCES report ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);

-- Signatures over the head of a chain, as chain.json of a folder would have it. The
-- latest of a length counts.
CREATE TABLE IF NOT EXISTS head_signature (
  id        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chain     text    NOT NULL,
  length    integer NOT NULL,
  signature bytea   NOT NULL
);

-- Plans whose approvals were used.
CREATE TABLE IF NOT EXISTS spent (
  plan       text        PRIMARY KEY, -- digest
  run        text        NOT NULL,
  started_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);

-- The number of the advisory lock of a key. Another schema has other numbers.
CREATE OR REPLACE FUNCTION lock_number(key text) RETURNS bigint
LANGUAGE sql STABLE STRICT SET search_path FROM CURRENT AS $$
  SELECT hashtextextended(key, 'hold'::regclass::oid::bigint)
$$;

-- The session that holds the lock of a key; null: nobody.
CREATE OR REPLACE FUNCTION lock_holder(key text) RETURNS integer
LANGUAGE sql STABLE STRICT SET search_path FROM CURRENT AS $$
  SELECT pid FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = lock_number(key)
$$;

-- Whether this session holds the locks of all keys.
CREATE OR REPLACE FUNCTION holds_locks(keys text[]) RETURNS boolean
LANGUAGE sql STABLE STRICT SET search_path FROM CURRENT AS $$
  SELECT bool_and(coalesce(lock_holder(key) = pg_backend_pid(), false)) FROM unnest(keys) AS key
$$;

-- Only who holds the lock draws a fence.
CREATE OR REPLACE FUNCTION check_hold() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF NOT holds_locks(NEW.keys) THEN
    RAISE EXCEPTION 'this session does not hold the lock of %', NEW.url USING ERRCODE = 'PS001';
  END IF;
  NEW.backend := pg_backend_pid();
  NEW.since := clock_timestamp();
  RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS check_hold ON hold;
CREATE TRIGGER check_hold BEFORE INSERT ON hold FOR EACH ROW EXECUTE FUNCTION check_hold();

-- Journals are written by the session that holds the server's lock, with the newest
-- fence, without a gap, and not after their end. Only a run that wrote nothing is closed
-- by a session that holds no lock.
CREATE OR REPLACE FUNCTION check_journal() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  w record;
  h record;
BEGIN
  FOR w IN
    SELECT f.run, f.fence, min(f.seq) AS first, max(f.seq) AS last, count(*) AS rows,
           bool_and(f.type = 'closed') AS closing, bool_or(f.type = 'closed') AS ends,
           max(f.seq) FILTER (WHERE f.type = 'closed') AS ending,
           (SELECT r.fence FROM run r WHERE r.name = f.run) AS opened
    FROM fresh f GROUP BY f.run, f.fence
  LOOP
    IF NOT EXISTS (SELECT FROM run r WHERE r.name = w.run) THEN
      RAISE EXCEPTION 'there is no run %', w.run USING ERRCODE = 'PS002';
    END IF;
    IF w.last - w.first + 1 <> w.rows OR w.ends AND w.ending <> w.last
       OR w.first > 1 AND NOT EXISTS (SELECT FROM journal j WHERE j.run = w.run AND j.seq = w.first - 1) THEN
      RAISE EXCEPTION 'the journal of run % would have a gap', w.run USING ERRCODE = 'PS002';
    END IF;
    IF EXISTS (SELECT FROM journal j WHERE j.run = w.run AND j.type = 'closed' AND j.seq < w.last) THEN
      RAISE EXCEPTION 'the journal of run % is closed', w.run USING ERRCODE = 'PS002';
    END IF;
    IF w.opened IS NULL THEN
      IF NOT w.closing OR w.fence IS NOT NULL THEN
        RAISE EXCEPTION 'run % was not begun under a lock', w.run USING ERRCODE = 'PS001';
      END IF;
      CONTINUE;
    END IF;
    -- The session that drew the fence had the locks then, and has them until it ends or
    -- gives them back.
    SELECT * INTO h FROM hold WHERE fence = w.fence;
    IF NOT FOUND OR h.backend <> pg_backend_pid() OR EXISTS (SELECT FROM released r WHERE r.fence = h.fence)
       OR EXISTS (SELECT FROM hold n WHERE n.fence > h.fence AND n.keys && h.keys) THEN
      RAISE EXCEPTION 'the lock under which run % would be written (fence %) is lost', w.run, coalesce(w.fence::text, 'none')
        USING ERRCODE = 'PS001', HINT = 'another run may work on the server now';
    END IF;
    IF NOT EXISTS (SELECT FROM hold o WHERE o.fence = w.opened AND o.keys && h.keys) THEN
      RAISE EXCEPTION 'run % is of another server than the lock (fence %)', w.run, w.fence USING ERRCODE = 'PS001';
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS check_journal ON journal;
CREATE TRIGGER check_journal AFTER INSERT ON journal REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION check_journal();
