package mstrapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
	"privsync/mstr"
)

// LicenceProduct is one product that a named user can consume a licence of. ID
// is its number in licence audits and compliance results: the place of its name
// in the enumeration of the vendor's OpenAPI document of 2026.
type LicenceProduct struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// LicenceProducts returns all products of the enumeration, by number.
func LicenceProducts() []LicenceProduct {
	names := mstr.Products()
	out := make([]LicenceProduct, len(names))
	for i, name := range names {
		out[i] = LicenceProduct{i, name}
	}
	return out
}

// LicencePrivileges returns the privileges of the user that consume a licence of
// the product, a name of the enumeration: of a user who holds everything, all of
// the product's. A server that does not know the product may refuse (400) or
// answer with none. [IsRouteMissing] holds of the error where the server's
// version has no such endpoint.
func (r *Reader) LicencePrivileges(ctx context.Context, user ObjectID, product string) ([]PrivilegeID, error) {
	if !user.Valid() {
		return nil, fmt.Errorf("%s is not an object id: want 32 hexadecimal digits in upper case", clean.Quote(clip(string(user), codeLimit)))
	}
	if !slices.Contains(mstr.Products(), product) {
		return nil, fmt.Errorf("%s is no product of the enumeration", clean.Quote(clip(product, codeLimit)))
	}
	ids, err := r.licencePrivileges(ctx, "/api/license/privileges/"+string(user), product)
	if IsRouteMissing(err) {
		// The vendor's samples spell the path so.
		if other, e := r.licencePrivileges(ctx, "/api/license/iServer/privileges/"+string(user), product); !IsRouteMissing(e) {
			return other, e
		}
	}
	return ids, err
}

func (r *Reader) licencePrivileges(ctx context.Context, path, product string) (ids []PrivilegeID, err error) {
	var answer struct {
		Name string `json:"licenseName"`
		Pws  []struct {
			Privilege struct {
				ID anyPrivilegeID `json:"id"`
			} `json:"privilege"`
		} `json:"pws"`
	}
	err = r.c.do(ctx, &request{
		method: http.MethodGet, path: path, query: "licenseProduct=" + product, limit: r.c.cfg.MaxAnswer,
		accept: acceptJSON(&answer, func() error {
			if answer.Pws == nil && answer.Name == "" {
				return incompletef(`no "pws"`)
			}
			ids = make([]PrivilegeID, 0, len(answer.Pws))
			for _, p := range answer.Pws {
				if p.Privilege.ID == 0 {
					return incompletef("a privilege without a number")
				}
				ids = append(ids, PrivilegeID(p.Privilege.ID))
			}
			slices.Sort(ids)
			ids = slices.Compact(ids)
			return nil
		}),
	})
	return ids, err
}

// Compliance is the result of the server's last licence scan. Time is zero where
// there was none, and where the licence key mixes kinds of licences, which the
// server does not count by products: Mixed says that this is why, or that there was
// no scan. Products are sorted by number, each once.
type Compliance struct {
	Time     time.Time
	Mixed    bool
	Products []ProductUsage
}

// ProductUsage is what the scan found about one product. Max is how many licences
// there are; [Unlimited] means that there is no limit. A nil number is one that
// the server did not tell.
type ProductUsage struct {
	ID      int
	Current *int
	Max     *int
}

// Unlimited is the [ProductUsage] Max of a product without a limit.
const Unlimited = -1

// Compliance returns the result of the last licence scan.
func (r *Reader) Compliance(ctx context.Context) (Compliance, error) {
	var answer *struct {
		Time   jsontext.Value `json:"complianceTime"`
		Type   *int           `json:"complianceType"`
		Result []struct {
			Type         *int `json:"type"`
			CurrentUsage *int `json:"currentUsage"`
			MaxUsage     *int `json:"maxUsage"`
		} `json:"complianceResult"`
	}
	var out Compliance
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/license/iServer/compliance/result", limit: singleLimit,
		accept: acceptJSON(&answer, func() error {
			out = Compliance{}
			if answer == nil {
				return incompletef("no compliance result")
			}
			if answer.Type != nil && *answer.Type == 0 {
				out.Mixed = true
				return nil
			}
			out.Time = licenceTime(answer.Time)
			if out.Time.IsZero() {
				return nil
			}
			twice := make(map[int]bool)
			for _, p := range answer.Result {
				// Products are told apart by this number and never by their names.
				if p.Type == nil || *p.Type < 0 || twice[*p.Type] {
					continue
				}
				twice[*p.Type] = true
				u := ProductUsage{ID: *p.Type, Current: p.CurrentUsage, Max: p.MaxUsage}
				if u.Current != nil && *u.Current < 0 {
					u.Current = nil
				}
				if u.Max != nil && *u.Max < Unlimited {
					u.Max = nil
				}
				out.Products = append(out.Products, u)
			}
			slices.SortFunc(out.Products, func(a, b ProductUsage) int { return a.ID - b.ID })
			return nil
		}),
	})
	return out, err
}

// licenceTime reads the time of a scan: a text as in the vendor's samples, or
// milliseconds since 1970. It is zero for anything else.
func licenceTime(raw jsontext.Value) time.Time {
	text := string(scalarText(raw))
	if raw.Kind() == '0' {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 {
			return time.UnixMilli(ms).UTC()
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999-0700", time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// ComplianceRunning reports whether a licence scan is under way.
func (r *Reader) ComplianceRunning(ctx context.Context) (bool, error) {
	var answer struct {
		JobRunning *bool `json:"jobRunning"`
	}
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/license/iServer/compliance/status", limit: singleLimit,
		accept: acceptJSON(&answer, func() error {
			if answer.JobRunning == nil {
				return incompletef(`no "jobRunning"`)
			}
			return nil
		}),
	})
	return err == nil && *answer.JobRunning, err
}

// startCompliance starts a licence scan.
func startCompliance(ctx context.Context, r *Reader) error {
	return r.c.do(ctx, &request{
		method: http.MethodPost, path: "/api/license/iServer/compliance", class: writeRequest, limit: singleLimit,
	})
}

// mixedPatience is how long a scan that is done may answer as if licence keys were
// mixed, as before a first scan, until that is believed.
const mixedPatience = 10 * time.Second

// errScanLate explains a scan of which no new result came.
var errScanLate = errors.New("the licence scan has no new result yet")

// ScanCompliance starts a licence scan and returns its result, or an error once
// the patience is over: a result lags behind the status that says the scan is
// done, so it counts only if its time is a new one, or if it tells for a while of
// mixed keys, which have none. It sends a POST, which changes
// no privilege and no licence: it is no method of [Reader] so that nothing but an
// explicit wish leads to it.
func ScanCompliance(ctx context.Context, r *Reader, patience time.Duration) (Compliance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errScanLate)
	defer cancel()
	before, err := r.Compliance(ctx)
	if err != nil && !IsNotFound(err) {
		return Compliance{}, err
	}
	if err := startCompliance(ctx, r); err != nil {
		return Compliance{}, err
	}
	var mixed time.Time // since when
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		if err := Sleep(ctx, wait); err != nil {
			return Compliance{}, err
		}
		running, err := r.ComplianceRunning(ctx)
		if err != nil {
			return Compliance{}, err
		}
		if running {
			continue
		}
		now, err := r.Compliance(ctx)
		switch {
		case IsNotFound(err):
			continue
		case err != nil:
			return Compliance{}, err
		case now.Time.After(before.Time):
			return now, nil
		case !now.Mixed:
			mixed = time.Time{}
		case mixed.IsZero():
			mixed = time.Now()
		case time.Since(mixed) >= mixedPatience:
			return now, nil
		}
	}
}

// LicenceAudit is the result of the server's licence audit. Time is zero where
// there was none.
type LicenceAudit struct {
	Time  time.Time
	Users []LicensedUser
}

// LicensedUser is one user of a licence audit with the numbers of the products
// that the server counts for it. Disabled users stand there as well.
type LicensedUser struct {
	ID       ObjectID
	Name     string
	Enabled  bool
	Products []int
}

// LicenceAudit returns the result of the last licence audit.
func (r *Reader) LicenceAudit(ctx context.Context) (LicenceAudit, error) {
	var answer *struct {
		Time  jsontext.Value `json:"auditTime"`
		Users []struct {
			ID       string `json:"id"`
			Name     string `json:"name"`
			Enabled  bool   `json:"enabled"`
			Products []int  `json:"licenseTypes"`
		} `json:"userLicenses"`
	}
	var out LicenceAudit
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/license/iServer/audit/result", limit: r.c.cfg.MaxAnswer,
		accept: acceptJSON(&answer, func() error {
			if answer == nil {
				return incompletef("no audit result")
			}
			out = LicenceAudit{Time: licenceTime(answer.Time)}
			for _, u := range answer.Users {
				id, ok := parseObjectID(u.ID)
				if !ok {
					return incompletef("a user without an id")
				}
				out.Users = append(out.Users, LicensedUser{id, u.Name, u.Enabled, u.Products})
			}
			return nil
		}),
	})
	return out, err
}

// StartLicenceAudit starts a licence audit: a POST, like that of [ScanCompliance].
func StartLicenceAudit(ctx context.Context, r *Reader) error {
	return r.c.do(ctx, &request{
		method: http.MethodPost, path: "/api/license/iServer/audit", class: writeRequest, limit: singleLimit,
	})
}
