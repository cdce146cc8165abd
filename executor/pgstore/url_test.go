package pgstore

import (
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	t.Setenv("PGHOST", "from.env.example.com")
	for url, want := range map[string]string{
		"postgres://run@db.example.com/privsync?sslmode=verify-full":  "postgres://run@db.example.com/privsync",
		"postgresql://run@db.example.com:6432/privsync":               "postgres://run@db.example.com:6432/privsync",
		"postgres://run@a,b/privsync?target_session_attrs=read-write": "postgres://run@a,b/privsync",
		"postgres://run@/privsync?host=/run/postgresql":               "postgres://run@/privsync?host=/run/postgresql",
		"postgres://run@/privsync":                                    "postgres://run@from.env.example.com/privsync",
	} {
		_, name, err := parseURL(Config{URL: url})
		if err != nil || name != want {
			t.Errorf("parseURL(%s) = %q, %v; want %q", url, name, err, want)
		}
	}
	const secret = "s3cret"
	for _, url := range []string{
		"postgres://run:s3cret@db/x", "postgres://run:s3cret@db:1/x?a=b", "postgres://:s3cret@db/x", "postgres://db/x?password=s3cret",
		"postgres://db/x?PASSWORD=s3cret", "postgres://db/x?sslpassword=s3cret", "postgres://run:s3%zzcret@db/x", "postgres://ru n:s3cret@db/x",
		"postgres://run:s3cret/@db/x", "postgres://run:s3cret?@db/x", "mysql://run:s3cret@db/x", "host=db password=s3cret", "postgres://run:s3cret@a:1,b:2/x",
		"postgres://run%3As3cret@db/x", "postgres://run@db/x;password=s3cret", "postgres://run@db/x#password=s3cret", "postgres://run@db/x?options=-c%20password%3Ds3cret",
		"postgres://run@db/x?pass%77ord=s3cret", "postgres://run@db/x?passwd=s3cret", "postgres://run@db/x?PWD=s3cret", "postgres:///x?host=/run&user=run&password=s3cret",
		"postgres://run@db/x?a=%zz&password=s3cret", "postgres://run:s3cret@db/x@y", "POSTGRES://run:s3cret@db",
	} {
		_, _, err := parseURL(Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), secret) {
			t.Errorf("parseURL(%s) = %v", url, err)
		}
	}
	for _, url := range []string{"postgres://run@db/x?sslmode=no&user=s3cret", "postgres://run@db/x?port=0&user=s3cret", "postgres://run@db/x?service=none&user=s3cret"} {
		if _, _, err := parseURL(Config{URL: url}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("parseURL(%s) = %v, want an error that does not repeat the URL", url, err)
		}
	}
	if conf, _, err := parseURL(Config{URL: "postgres://run@db/x", Password: secret}); err != nil || conf.Password != secret {
		t.Errorf("parseURL with a password beside it = %v", err)
	}
}
