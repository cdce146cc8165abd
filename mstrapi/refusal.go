package mstrapi

import (
	"errors"
	"regexp"
)

// Refusal is why a server refused a login, as far as its answer tells. The zero
// value is none: the error is no refusal of a login.
type Refusal string

const (
	RefusedOther       Refusal = "refused" // the answer does not say more
	RefusedCredentials Refusal = "credentials"
	RefusedLDAP        Refusal = "ldap"     // LDAP is not set up, or not reached
	RefusedLicence     Refusal = "licence"  // none, or none left
	RefusedLocked      Refusal = "locked"   // too many wrong passwords
	RefusedDisabled    Refusal = "disabled" // the account may not log in
	RefusedExpired     Refusal = "expired"  // the password must be changed
	RefusedSessions    Refusal = "sessions" // too many are open
	RefusedAway        Refusal = "away"     // the Intelligence Server is not there
	RefusedGateway     Refusal = "gateway"  // something in front of the server did it
)

// refusalTexts recognises reasons by the server's message, the most special first.
// The numbers behind them are documented nowhere; the words stand in the vendor's
// message tables.
var refusalTexts = []struct {
	reason Refusal
	text   *regexp.Regexp
}{
	{RefusedLDAP, regexp.MustCompile(`(?i)\bldap\b`)},
	{RefusedLicence, regexp.MustCompile(`(?i)\blicen[cs]e`)},
	{RefusedLocked, regexp.MustCompile(`(?i)\block(ed|out)\b|locked out|too many (failed|invalid|wrong)`)},
	{RefusedExpired, regexp.MustCompile(`(?i)password.{0,40}(expired|must be changed|needs? to be changed)|(expired|change your).{0,20}password`)},
	{RefusedDisabled, regexp.MustCompile(`(?i)(account|user|login).{0,40}(disabled|inactive|expired)|(disabled|inactive).{0,20}(account|user|login)`)},
	{RefusedSessions, regexp.MustCompile(`(?i)(maximum|limit|too many|exceed).{0,60}\b(session|connection|login|user)s?\b`)},
}

// LoginRefusal returns why a login was refused: that of a client's begin, or one
// that was to renew a session. It looks for the login in the whole chain of err.
func LoginRefusal(err error) Refusal {
	e := loginAnswer(err)
	var (
		proxy *ProxyError
		cert  *TLSError
	)
	if e == nil || e.Status < 400 || errors.As(e.Err, &proxy) || errors.As(e.Err, &cert) {
		return ""
	}
	for _, known := range refusalTexts {
		if known.text.MatchString(e.Message) {
			return known.reason
		}
	}
	switch code := codeNumber(e.Code); {
	case code == 13 || code == 16:
		return RefusedAway
	case e.Status == 401 || code == 3:
		return RefusedCredentials
	case e.Status == 403 && e.Code == "":
		return RefusedGateway
	case e.Status == 403:
		return RefusedDisabled
	case e.Status == 400:
		return RefusedOther
	}
	return ""
}

// loginAnswer returns the error of the login in the chain of err, or nil.
func loginAnswer(err error) *Error {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Path == loginPath {
			return e
		}
	}
	return nil
}
