package pgstore

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
)

// IsURL reports whether s is meant to be the URL of a store, rather than a folder.
func IsURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql"))
}

// parseURL returns the settings of a connection, and what messages call the store.
// Passwords have no place in the URL, which stands in process lists, logs and histories:
// one in it is refused, and nothing of the URL is repeated then.
func parseURL(cfg Config) (*pgx.ConnConfig, string, error) {
	if !IsURL(cfg.URL) {
		if strings.Contains(strings.ToLower(cfg.URL), "password") || strings.Contains(cfg.URL, "@") {
			return nil, "", Hint(errors.New("the store is named by a URL postgres://…"), urlHint)
		}
		return nil, "", Hint(fmt.Errorf("%s is no URL postgres://…", clean.Quote(clean.Clip(cfg.URL, 80))), urlHint+"; a folder is named with --state-dir")
	}
	// Several hosts with ports are no URL to net/url, and its errors repeat what may be a
	// password.
	_, rest, _ := strings.Cut(cfg.URL, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, _, _ := strings.Cut(rest, "/")
	hosts := authority[strings.LastIndexByte(authority, '@')+1:]
	given := strings.Contains(unescaped(strings.TrimSuffix(authority, hosts)), ":") || strings.Count(rest, "@") > 1 ||
		secretSetting.MatchString(unescaped(cfg.URL))
	options, err := url.ParseQuery(query)
	if err != nil || strings.Contains(query, "@") || !regexp.MustCompile(`^([^:,\[\]]*(\[[0-9A-Fa-f:.%]+\])?(:[0-9]{1,5})?(,|$))*$`).MatchString(hosts) {
		return nil, "", Hint(errors.New("the URL of the store cannot be read"), urlHint)
	}
	for name := range options {
		given = given || secretSetting.MatchString(name+"=")
	}
	if given {
		return nil, "", Hint(errors.New("the URL of the store holds a password, which is refused: it would stand in process lists and logs"),
			"take it out, and give it with PGPASSWORD, PGPASSFILE (~/.pgpass) or --state-password-file; change it if others may have seen it")
	}
	conf, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		// pgx repeats the URL, and takes out of it only what it knows as a password.
		why := err.Error()
		why = strings.TrimPrefix(why[strings.LastIndex(why, "`: ")+1:], ": ")
		return nil, "", Hint(fmt.Errorf("the URL of the store: %s", strings.TrimPrefix(why, "failed to ")), urlHint)
	}
	if cfg.Password != "" {
		conf.Password = cfg.Password
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = connectTimeout
	}
	if conf.RuntimeParams["application_name"] == "" {
		conf.RuntimeParams["application_name"] = "privsync"
	}
	conf.DialFunc = cfg.Dial
	if conf.DialFunc == nil {
		conf.DialFunc = dialer()
	}
	// One unnamed statement a call: what is prepared under a name breaks behind poolers,
	// before they can be told from a server.
	conf.DefaultQueryExecMode = pgx.QueryExecModeExec
	conf.StatementCacheCapacity, conf.DescriptionCacheCapacity = 0, 0

	shown := "postgres://"
	if conf.User != "" {
		shown += url.User(conf.User).String() + "@"
	}
	switch {
	case hosts != "":
		shown += hosts + "/" + conf.Database
	case strings.HasPrefix(conf.Host, "/"):
		shown += "/" + conf.Database + "?host=" + conf.Host
	default:
		shown += conf.Host + "/" + conf.Database
	}
	if schema := cmp.Or(cfg.Schema, DefaultSchema); schema != DefaultSchema {
		shown += " schema " + schema
	}
	return conf, shown, nil
}

// CheckURL returns why the URL of cfg names no store: it cannot be read, or holds a
// password. Nothing is connected to, and nothing secret is repeated.
func CheckURL(cfg Config) error {
	_, _, err := parseURL(cfg)
	return err
}

// secretSetting matches what gives a password, wherever in a URL it was put.
var secretSetting = regexp.MustCompile(`(?i)(password|passwd|pwd)\s*=`)

// unescaped returns s with its percent-encoding undone, or as it is where that is broken.
func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

const urlHint = "a store is named like postgres://privsync@db.example.com/privsync?sslmode=verify-full"
