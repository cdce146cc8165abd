package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// seenBatch is how many rows of seen go in one statement.
const seenBatch = 2000

// seenRow is what a report saw of one principal; null sets: it could not be read.
type seenRow struct {
	Kind      string  `json:"kind"`
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Login     string  `json:"login"`
	Direct    []int32 `json:"direct"`
	Inherited []int32 `json:"inherited"`
}

// addHistory notes what the report saw of each principal.
func (s *Store) addHistory(ctx context.Context, tx pgx.Tx, l link, r *executor.Report) error {
	level := string(r.Scope.Level)
	if level == "" {
		level = string(mstrapi.LevelServer) // as a policy without a scope means
	}
	noted := make(map[mstrapi.ObjectID]bool, len(r.Principals))
	rows := make([]seenRow, 0, seenBatch)
	insert := func() error {
		if len(rows) == 0 {
			return nil
		}
		text, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		rows = rows[:0]
		_, err = tx.Exec(ctx, `INSERT INTO seen (chain, length, run, command, at, url, level, kind, principal_id, principal, login, direct, inherited)
			SELECT $1, $2, $3, $4, $5, $6, $7, kind, id, name, login, direct, inherited
			FROM json_to_recordset($8::json) AS p (kind text, id text, name text, login text, direct integer[], inherited integer[])`,
			l.chain, l.head.Length, plain(r.Run.ID), plain(r.Run.Command), r.Run.FinishedAt.UTC(), plain(r.Environment.URL), plain(level), string(text))
		return err
	}
	for i := range r.Principals {
		p := &r.Principals[i]
		if noted[p.Principal.ID] {
			continue
		}
		noted[p.Principal.ID] = true
		row := seenRow{Kind: plain(string(p.Principal.Kind)), ID: plain(string(p.Principal.ID)), Name: plain(p.Principal.Name), Login: plain(p.Principal.Login)}
		if p.After != nil {
			row.Direct, row.Inherited = numbersOf(p.After.Direct), numbersOf(p.After.Inherited)
		}
		if rows = append(rows, row); len(rows) == seenBatch {
			if err := insert(); err != nil {
				return err
			}
		}
	}
	err := insert()
	if err != nil || len(r.Privileges) == 0 {
		return err
	}
	ids, names := make([]int32, len(r.Privileges)), make([]string, len(r.Privileges))
	for i, p := range r.Privileges {
		ids[i], names[i] = int32(p.ID), plain(p.Name)
	}
	_, err = tx.Exec(ctx, `INSERT INTO privilege_name (url, privilege, name) SELECT $1, * FROM unnest($2::integer[], $3::text[]) AS p (id, name) WHERE name <> '' ON CONFLICT DO NOTHING`,
		plain(r.Environment.URL), ids, names)
	return err
}

func numbersOf(s planner.Set) []int32 {
	out := make([]int32, 0, s.Len())
	for id := range s.All() {
		out = append(out, int32(id))
	}
	return out
}

// ErrNotLooked is matched by the error of [Store.HeldAt] when no report tells.
var ErrNotLooked = errors.New("no report tells")

// HeldAt returns who held the privileges, each named by name or number, at that time, as
// the latest reports before it saw it, on the server with that base URL; with an empty
// one on the only server that the store knows. It is never "nobody" where nobody looked:
// then the error matches [ErrNotLooked].
func (s *Store) HeldAt(ctx context.Context, privileges []string, at time.Time, url string) (*executor.HeldAt, error) {
	doc := &executor.HeldAt{Format: executor.HeldAtFormat, At: at.UTC(), Source: s.name, Privileges: []planner.PrivilegeRef{}, Holders: []executor.HolderAt{}, Unknown: []executor.SeenAt{}, NotSeen: []executor.SeenAt{}}
	err := s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if doc.Server, err = onlyServer(ctx, tx, url); err != nil {
			return err
		}
		levels := map[string]bool{"all": true}
		var ids []int32
		for _, text := range privileges {
			p, in, err := findPrivilege(ctx, tx, doc.Server, text)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(doc.Privileges, func(q planner.PrivilegeRef) bool { return q.ID == p.ID }) {
				continue
			}
			doc.Privileges = append(doc.Privileges, p)
			ids = append(ids, int32(p.ID))
			for _, level := range in {
				levels[level] = true
			}
		}
		slices.SortFunc(doc.Privileges, func(a, b planner.PrivilegeRef) int { return int(a.ID - b.ID) })
		if levels["server"] && levels["project"] {
			return Hint(errors.New("the privileges are of different levels, which reports look at apart"), "ask for the server-level ones and the project-level ones apart")
		}
		var in []string
		for level := range levels {
			in = append(in, level)
		}
		return readHeldAt(ctx, tx, doc, ids, in)
	})
	return doc, err
}

// onlyServer returns the server that url means, or the only one that there is.
func onlyServer(ctx context.Context, tx pgx.Tx, url string) (string, error) {
	urls, err := rowsOf(ctx, tx, pgx.RowTo[string], "SELECT DISTINCT url FROM seen ORDER BY url")
	switch {
	case err != nil:
		return "", err
	case len(urls) == 0:
		return "", Hint(fmt.Errorf("%w: the store has none", ErrNotLooked), "audits and applies with --state fill it; reports of a folder are taken in with privsync state import")
	case url != "" && slices.Contains(urls, url):
		return url, nil
	case url != "":
		return "", Hint(fmt.Errorf("%w of %s", ErrNotLooked, clean.Quote(url)), "name the server as the reports spell it: "+clean.Text(clean.Clip(strings.Join(urls, ", "), 300)))
	case len(urls) > 1:
		return "", Hint(fmt.Errorf("the store has reports of %d servers", len(urls)), "name one with --url: "+clean.Text(clean.Clip(strings.Join(urls, ", "), 300)))
	}
	return urls[0], nil
}

// findPrivilege returns the privilege that text names, and at which levels it was seen.
func findPrivilege(ctx context.Context, tx pgx.Tx, url, text string) (planner.PrivilegeRef, []string, error) {
	var none planner.PrivilegeRef
	var id int32
	if _, err := fmt.Sscanf(text, "%d", &id); err != nil || fmt.Sprint(id) != strings.TrimSpace(text) {
		found, err := rowsOf(ctx, tx, pgx.RowTo[int32], "SELECT DISTINCT privilege FROM privilege_name WHERE url = $1 AND lower(name) = lower($2)", url, plain(text))
		switch {
		case err != nil:
			return none, nil, err
		case len(found) == 0:
			return none, nil, Hint(fmt.Errorf("%w of a privilege %s", ErrNotLooked, clean.Quote(text)), "name it as the server does, or by its number")
		case len(found) > 1:
			return none, nil, Hint(fmt.Errorf("the reports have %d privileges called %s", len(found), clean.Quote(text)), fmt.Sprintf("name it by number: %v", found))
		}
		id = found[0]
	}
	levels, err := rowsOf(ctx, tx, pgx.RowTo[string], "SELECT DISTINCT level FROM seen WHERE url = $1 AND ($2 = ANY (direct) OR $2 = ANY (inherited))", url, id)
	if err != nil {
		return none, nil, err
	}
	if len(levels) == 0 {
		return none, nil, Hint(fmt.Errorf("%w that anybody ever held privilege %d", ErrNotLooked, id), "whether reports looked for it is not known: they name only what somebody holds")
	}
	ref := planner.PrivilegeRef{ID: mstrapi.PrivilegeID(id)}
	err = tx.QueryRow(ctx, "SELECT name FROM privilege_name WHERE url = $1 AND privilege = $2 ORDER BY stored_at DESC, name LIMIT 1", url, id).Scan(&ref.Name)
	return ref, levels, orNone(err)
}

// heldRow is the latest that was seen of a principal before a time; At is null if it was
// seen only later.
type heldRow struct {
	Kind, ID, Name, Login string
	At                    *time.Time
	Run                   *string
	Known                 bool
	Direct, Inherited     []int32
}

func readHeldAt(ctx context.Context, tx pgx.Tx, doc *executor.HeldAt, privileges []int32, levels []string) error {
	list, err := rowsOf(ctx, tx, pgx.RowToStructByPos[heldRow], `
		SELECT p.kind, p.principal_id, p.principal, p.login, l.at, l.run, l.direct IS NOT NULL, coalesce(l.direct, '{}'), coalesce(l.inherited, '{}')
		FROM (SELECT DISTINCT ON (principal_id) kind, principal_id, principal, login FROM seen WHERE url = $1 AND level = ANY ($2) ORDER BY principal_id, at DESC) p
		LEFT JOIN LATERAL (SELECT at, run, direct, inherited FROM seen s WHERE s.url = $1 AND s.principal_id = p.principal_id AND s.level = ANY ($2) AND s.at <= $3
			ORDER BY at DESC, chain DESC, length DESC LIMIT 1) l ON true
		ORDER BY p.kind, p.principal, p.principal_id`, doc.Server, levels, doc.At)
	if err != nil {
		return err
	}
	looked := false
	for _, r := range list {
		seen := executor.SeenAt{Principal: planner.Principal{Kind: mstrapi.Kind(r.Kind), ID: mstrapi.ObjectID(r.ID), Name: r.Name, Login: r.Login}}
		if r.At != nil {
			at := r.At.UTC()
			seen.LastSeen, seen.Run = &at, *r.Run
			looked = true
		}
		switch {
		case r.At == nil:
			doc.NotSeen = append(doc.NotSeen, seen)
			continue
		case !r.Known:
			doc.Unknown = append(doc.Unknown, seen)
			continue
		}
		holder := executor.HolderAt{SeenAt: seen}
		for _, id := range privileges {
			direct, inherited := slices.Contains(r.Direct, id), slices.Contains(r.Inherited, id)
			if direct || inherited {
				holder.Holds = append(holder.Holds, executor.HeldThen{ID: mstrapi.PrivilegeID(id), Direct: direct, Inherited: inherited})
			}
		}
		if len(holder.Holds) > 0 {
			slices.SortFunc(holder.Holds, func(a, b executor.HeldThen) int { return int(a.ID - b.ID) })
			doc.Holders = append(doc.Holders, holder)
		}
	}
	if !looked {
		return Hint(fmt.Errorf("%w of that time: the first report is later than %s", ErrNotLooked, doc.At.Format(time.RFC3339)), "what was held before the first report is not known")
	}
	return nil
}
