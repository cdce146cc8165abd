package mstrtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
)

// discard is a ResponseWriter that counts bytes.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkPrivileges reads the privileges of 100,000 users, 60 each, by the
// handler alone and over connections. The memory that the server holds for
// them is reported as MB.
func BenchmarkPrivileges(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := NewServer(Generate(100_000, 60), Options{NoLog: true, NoLedger: true})
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20)
	var paths []string
	for i := range 100_000 {
		paths = append(paths, s.PathPrefix()+"/api/users/"+string(generatedID('A', i+1))+"/privileges?privilege.level=server")
	}
	c := dial(b, s)
	c.login(ServiceLogin, ServicePassword)

	b.Run("handler", func(b *testing.B) {
		req := httptest.NewRequest("GET", "/", nil)
		req.Header.Set("X-MSTR-AuthToken", c.token)
		for _, cookie := range c.http.Jar.Cookies(httptest.NewRequest("GET", "http://server.example"+s.PathPrefix(), nil).URL) {
			req.AddCookie(cookie)
		}
		requests := make([]*http.Request, 1000)
		for i := range requests {
			r := httptest.NewRequest("GET", paths[i*97], nil)
			r.Header = req.Header
			requests[i] = r
		}
		b.ReportAllocs()
		w := &discard{header: make(http.Header)}
		for i := 0; b.Loop(); i++ {
			s.ServeHTTP(w, requests[i%len(requests)])
		}
		b.SetBytes(int64(w.n / b.N))
		b.ReportMetric(held, "heap-MB")
	})
	b.Run("network", func(b *testing.B) {
		server := httptest.NewServer(s)
		defer server.Close()
		transport := server.Client().Transport.(*http.Transport)
		transport.MaxIdleConnsPerHost = 64
		c := newClient(b, transport, server.URL)
		c.base += s.PathPrefix()
		c.login(ServiceLogin, ServicePassword)
		c.base = server.URL
		var next atomic.Int64
		b.SetParallelism(16)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := int(next.Add(1)) % len(paths)
				req, err := http.NewRequest("GET", server.URL+paths[i], nil)
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("X-MSTR-AuthToken", c.token)
				resp, err := c.http.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil || resp.StatusCode != 200 || n < 1000 {
					b.Errorf("status %d, %d bytes, %v", resp.StatusCode, n, err)
				}
				resp.Body.Close()
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	})
	b.Run("page", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			c.get("/api/users?fields=id,name,abbreviation&limit=1000&offset=" + strconv.Itoa(i%100*1000))
		}
	})
}
