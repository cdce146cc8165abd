
-- Since when each principal holds what, by which run: what every report saw of every
-- principal. direct and inherited are null where it could not be read.
CREATE TABLE IF NOT EXISTS seen (
  chain        text        NOT NULL,
  length       integer     NOT NULL,
  run          text        NOT NULL, -- id
  command      text        NOT NULL,
  at           timestamptz NOT NULL, -- the end of the run, by the clock of its machine
  url          text        NOT NULL,
  level        text        NOT NULL, -- of the privileges that the run looked at: server, project or all
  kind         text        NOT NULL, -- user or group
  principal_id text        NOT NULL,
  principal    text        NOT NULL, -- its name
  login        text        NOT NULL,
  direct       integer[],
  inherited    integer[],
  PRIMARY KEY (chain, length, principal_id)
);
CREATE INDEX IF NOT EXISTS seen_by ON seen (url, principal_id, at);

-- Names of privileges, as reports had them.
CREATE TABLE IF NOT EXISTS privilege_name (
  url       text        NOT NULL,
  privilege integer     NOT NULL,
  name      text        NOT NULL,
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (url, privilege, name)
);

-- For BI tools: one row for each time in which a principal was seen to hold a privilege in
-- one way. since and since_run are the first report that saw it so, last_seen the last one,
-- gone the next report of the principal, which did not see it so any more (null: none did
-- yet). Reports of another level, and those that could not read the principal, are passed over.
CREATE OR REPLACE VIEW history AS
WITH observed AS (
  SELECT url, level, kind, principal_id, principal, login, at, run, direct, inherited,
         row_number() OVER (PARTITION BY url, level, principal_id ORDER BY at, chain, length) AS n
  FROM seen WHERE direct IS NOT NULL
), held AS (
  SELECT o.url, o.level, o.principal_id, o.at, o.run, o.n, p.privilege,
         p.privilege = ANY (o.direct) AS direct, p.privilege = ANY (o.inherited) AS inherited
  FROM observed o CROSS JOIN LATERAL (SELECT DISTINCT unnest(o.direct || o.inherited)) AS p (privilege)
), numbered AS (
  SELECT h.*, n - row_number() OVER (PARTITION BY url, level, principal_id, privilege, direct, inherited ORDER BY n) AS island
  FROM held h
), times AS (
  SELECT url, level, principal_id, privilege, direct, inherited, min(at) AS since, (array_agg(run ORDER BY n))[1] AS since_run,
         max(at) AS last_seen, (array_agg(run ORDER BY n DESC))[1] AS last_run, max(n) AS last_n
  FROM numbered GROUP BY url, level, principal_id, privilege, direct, inherited, island
)
SELECT t.url, t.level, l.kind, t.principal_id, l.principal, l.login, t.privilege,
       (SELECT name FROM privilege_name p WHERE p.url = t.url AND p.privilege = t.privilege ORDER BY stored_at DESC, name LIMIT 1) AS privilege_name,
       t.direct, t.inherited, t.since, t.since_run, t.last_seen, t.last_run, g.at AS gone, g.run AS gone_run
FROM times t
JOIN LATERAL (SELECT kind, principal, login FROM observed o
              WHERE (o.url, o.level, o.principal_id) = (t.url, t.level, t.principal_id) ORDER BY n DESC LIMIT 1) l ON true
LEFT JOIN observed g ON (g.url, g.level, g.principal_id, g.n) = (t.url, t.level, t.principal_id, t.last_n + 1);
