package mstrapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// largeHeld is an answer with 60 privileges with descriptions, three in four of
// them through one or two of five groups.
func largeHeld() []byte {
	var b strings.Builder
	b.WriteString(`{"privileges":[`)
	for i := range 60 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"privilege":{"id":"%d","name":"Privilege number %d","description":"This is the privilege that is required to do what privilege %d lets a user do on this server.","level":"server"},"sources":[`, i+1, i+1, i+1)
		group := func(g int) string {
			return fmt.Sprintf(`{"direct":false,"group":{"name":"Group number %d","id":"17CD5CDB43085A8A52533B86A05DCB%02d"}}`, g, g)
		}
		switch i % 4 {
		case 0:
			b.WriteString(`{"direct":true}`)
		case 1:
			b.WriteString(group(i%5) + `,` + group((i+1)%5))
		default:
			b.WriteString(group(i % 5))
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// BenchmarkDecodeHeld compares the decoder with what encoding/json needs for the
// same answer without checking what it means.
func BenchmarkDecodeHeld(b *testing.B) {
	body := largeHeld()
	b.Run("jsontext", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		var d heldDecoder
		for b.Loop() {
			if held, err := d.decode(body, LevelServer); err != nil || len(held) != 60 {
				b.Fatal(len(held), err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var answer struct {
				Privileges []struct {
					Privilege struct{ ID, Level string }
					Sources   []struct {
						Direct bool
						Group  *ObjectRef
					}
				}
			}
			if err := json.Unmarshal(body, &answer); err != nil || len(answer.Privileges) != 60 {
				b.Fatal(len(answer.Privileges), err)
			}
		}
	})
}

// BenchmarkHeld compares whole requests over loopback with those of a bare
// client that has the same transport and throws the bodies away.
func BenchmarkHeld(b *testing.B) {
	const workers = 8
	body := largeHeld()
	f := newFake(b)
	f.handle("GET /api/users/{id}/privileges", func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	// The sessions' bookkeeping of the fake would be measured too.
	quick := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/privileges") {
			w.Write(body)
			return
		}
		f.ServeHTTP(w, r)
	})
	server := httptest.NewServer(quick)
	defer server.Close()
	cfg := Config{URL: server.URL + fakePrefix, Username: "u", Concurrency: workers}
	r, err := OpenReader(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close(b.Context())
	run := func(b *testing.B, one func() error) {
		b.ReportAllocs()
		var next atomic.Int64
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for next.Add(1) <= int64(b.N) {
					if err := one(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
	}
	b.Run("client", func(b *testing.B) {
		run(b, func() error {
			_, err := r.Held(b.Context(), User, demoUser, LevelServer)
			return err
		})
	})
	b.Run("bare", func(b *testing.B) {
		cfg, _, err := cfg.withDefaults()
		if err != nil {
			b.Fatal(err)
		}
		transport, err := newTransport(cfg, new(clientCert))
		if err != nil {
			b.Fatal(err)
		}
		client := &http.Client{Transport: transport}
		defer transport.CloseIdleConnections()
		url := r.URL() + "/api/users/" + string(demoUser) + "/privileges?privilege.level=server"
		run(b, func() error {
			resp, err := client.Get(url)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	})
}
