package mstrapi_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// licensed starts a server with products and a client for it; in a bubble.
func licensed(t *testing.T, o mstrtest.Options) (*mstrtest.Server, *mstrtest.Environment, *mstrapi.Reader) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 1))
	env := mstrtest.Random(rng, mstrtest.Size{})
	mstrtest.RandomLicences(rng, env)
	server := mstrtest.NewServer(env, o)
	t.Cleanup(server.Close)
	r, err := mstrapi.OpenReader(t.Context(), mstrapi.Config{
		URL: "http://localhost/MicroStrategyLibrary", Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword, Transport: server.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, env, r
}

func TestLicenceProducts(t *testing.T) {
	all := mstrapi.LicenceProducts()
	if n := len(all); n != 42 {
		t.Errorf("%d products, want 42", n)
	}
	for id, name := range map[int]string{0: "RESERVED", 2: "CLIENT_WEB", 7: "SERVER_INTELLIGENCE", 31: "CLIENT_APPLICATION_JUPYTER", 41: "CLIENT_DESKTOP"} {
		if all[id].Name != name || all[id].ID != id {
			t.Errorf("product %d = %+v, want %s", id, all[id], name)
		}
	}
}

// A scan counts only once its result is a new one, however much that lags behind.
func TestScanCompliance(t *testing.T) {
	for name, o := range map[string]mstrtest.Options{
		"at once": {LicenceScanAge: time.Hour}, "lagging": {LicencePolls: 3, LicenceLag: 3, LicenceScanAge: time.Hour}, "the first": {NoLicenceScan: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, env, r := licensed(t, o)
				defer r.Close(t.Context())
				before, err := r.Compliance(t.Context())
				if err != nil || before.Time.IsZero() != o.NoLicenceScan {
					t.Fatalf("Compliance = %+v, %v", before, err)
				}
				u := env.Users[0].ID
				if err := server.Grant(u, env.Licences[0].Privileges[0]); err != nil {
					t.Fatal(err)
				}
				got, err := mstrapi.ScanCompliance(t.Context(), r, time.Minute)
				if err != nil || !got.Time.After(before.Time) || len(got.Products) != len(env.Licences) {
					t.Fatalf("ScanCompliance = %+v, %v", got, err)
				}
				for _, p := range got.Products {
					n := 0
					for _, u := range env.Users {
						if slices.Contains(server.Licensed(u.ID), p.ID) {
							n++
						}
					}
					if p.Current == nil || *p.Current != n {
						t.Errorf("product %d: usage %v, want %d", p.ID, p.Current, n)
					}
				}
				if err := mstrapi.StartLicenceAudit(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// What never comes is not waited for without end.
func TestScanComplianceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, r := licensed(t, mstrtest.Options{LicenceLag: 1 << 20})
		defer r.Close(t.Context())
		start := time.Now()
		if got, err := mstrapi.ScanCompliance(t.Context(), r, time.Minute); err == nil || time.Since(start) > 2*time.Minute {
			t.Errorf("ScanCompliance = %+v, %v after %s", got, err, time.Since(start))
		}
	})
}

// Keys of several kinds never come to a new time, so it is not waited for.
func TestScanComplianceOfMixedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, r := licensed(t, mstrtest.Options{Quirks: mstrtest.Quirks{MixedLicenceKeys: true}})
		defer r.Close(t.Context())
		start := time.Now()
		got, err := mstrapi.ScanCompliance(t.Context(), r, 5*time.Minute)
		if err != nil || !got.Mixed || !got.Time.IsZero() || time.Since(start) > 30*time.Second {
			t.Errorf("ScanCompliance = %+v, %v after %s, want no time and no error", got, err, time.Since(start))
		}
	})
}

// Results that tell nothing are no numbers.
func TestComplianceWithoutNumbers(t *testing.T) {
	for name, o := range map[string]mstrtest.Options{
		"mixed keys": {Quirks: mstrtest.Quirks{MixedLicenceKeys: true}}, "untyped": {Quirks: mstrtest.Quirks{UntypedLicences: true}},
		"no scan": {NoLicenceScan: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, r := licensed(t, o)
				defer r.Close(t.Context())
				if got, err := r.Compliance(t.Context()); err != nil || len(got.Products) != 0 {
					t.Errorf("Compliance = %+v, %v, want no products", got, err)
				}
			})
		})
	}
}

// The documented samples, word for word.
func TestLicenceSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for body, want := range map[string]int{
			`{"complianceTime":"2026-11-25T22:51:03.000+0000","complianceType":1,"inCompliance":true,"complianceResult":[{"name":"ReporterWeb","type":1,"currentUsage":0,"maxUsage":-1,"inCompliance":true,"details":{}}]}`: 1,
			`{"complianceTime":null,"complianceType":0,"inCompliance":true,"complianceResult":[]}`:                                                                                                                          0,
			`{"complianceType":1,"complianceResult":[{"name":"ReporterWeb","type":1,"maxUsage":5}]}`:                                                                                                                        0,
		} {
			r := answering(t, "/api/license/iServer/compliance/result", body)
			got, err := r.Compliance(t.Context())
			if err != nil || len(got.Products) != want {
				t.Errorf("Compliance(%s) = %+v, %v, want %d products", body, got, err, want)
			}
			if want == 1 && (*got.Products[0].Max != mstrapi.Unlimited || got.Products[0].ID != 1) {
				t.Errorf("Compliance = %+v, want product 1 without a limit", got.Products[0])
			}
			_ = r.Close(t.Context())
		}
		r := answering(t, "/api/license/iServer/audit/result",
			`{"auditTime":"2026-11-25T22:51:03.000+0000","userLicenses":[{"id":"54F3D26011D2896560009A8E67019608","name":"Administrator","enabled":true,"LDAPUser":false,"licenseTypes":[7,5,8],"userGroupsIndex":[0,1]}],"userGroups":[["C82C6B1011D2894CC0009D9F29718E4F","Everyone"]]}`)
		defer r.Close(t.Context())
		got, err := r.LicenceAudit(t.Context())
		if err != nil || len(got.Users) != 1 || !slices.Equal(got.Users[0].Products, []int{7, 5, 8}) || got.Time.IsZero() {
			t.Errorf("LicenceAudit = %+v, %v", got, err)
		}
	})
}

// Both spellings of the path lead to the privileges of a product, and the server's
// map comes out.
func TestLicencePrivileges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, env, r := licensed(t, mstrtest.Options{})
		defer r.Close(t.Context())
		l := env.Licences[0]
		u := env.Users[0].ID
		if err := server.Grant(u, l.Privileges...); err != nil {
			t.Fatal(err)
		}
		name := mstrapi.LicenceProducts()[l.Product].Name
		got, err := r.LicencePrivileges(t.Context(), u, name)
		want := slices.Sorted(slices.Values(l.Privileges))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("LicencePrivileges(%s) = %v, %v, want %v", name, got, err, want)
		}
		if got, err := r.LicencePrivileges(t.Context(), u, "PLACEHOLDER_1"); err == nil {
			t.Errorf("LicencePrivileges of a product that is not there = %v, want an error", got)
		}
		if _, err := r.LicencePrivileges(t.Context(), u, "x&y"); err == nil {
			t.Error("a product that is none: no error")
		}
	})
}

// answering returns a client of a server that answers one path with a text.
func answering(t *testing.T, path, body string) *mstrapi.Reader {
	t.Helper()
	env := mstrtest.Random(rand.New(rand.NewPCG(1, 1)), mstrtest.Size{})
	server := mstrtest.NewServer(env, mstrtest.Options{})
	t.Cleanup(server.Close)
	r, err := mstrapi.OpenReader(t.Context(), mstrapi.Config{
		URL: "http://localhost/MicroStrategyLibrary", Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword,
		Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(q.URL.Path, path) {
				return server.Transport().RoundTrip(q)
			}
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "application/json")
			_, err := w.WriteString(body)
			return w.Result(), err
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }
