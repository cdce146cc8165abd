package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// pemOf returns the certificate of a test server, which is its own authority.
func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// sign returns a certificate and its key, both PEM; change alters what is signed.
func (a *authority) sign(change func(*x509.Certificate)) (cert, key []byte) {
	a.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}

func writeTemp(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each refusal of TLS says what is wrong and who has to change what, in a plan and by
// the doctor; and a client certificate opens the server that wants one.
func TestTLSRefusals(t *testing.T) {
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	server, variables := serve(t, env, mstrtest.Options{})
	own, stranger := newAuthority(t), newAuthority(t)
	ca := writeTemp(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.cert.Raw}))
	clients := x509.NewCertPool()
	clients.AddCert(own.cert)
	start := func(t *testing.T, handler http.Handler, config *tls.Config, change func(*x509.Certificate)) string {
		certPEM, keyPEM := own.sign(change)
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
		s := httptest.NewUnstartedServer(handler)
		s.TLS, s.Config.ErrorLog = config, log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL + server.PathPrefix()
	}
	clientCert, clientKey := own.sign(nil)
	cert, key := writeTemp(t, "client.pem", clientCert), writeTemp(t, "client.key", clientKey)
	strangerCert, strangerKey := stranger.sign(nil)
	given := []string{"--client-cert", cert, "--client-key", key}
	wrong := []string{"--client-cert", writeTemp(t, "wrong.pem", strangerCert), "--client-key", writeTemp(t, "wrong.key", strangerKey)}
	nginx := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<html><head><title>400 No required SSL certificate was sent</title></head></html>")
			return
		}
		server.ServeHTTP(w, r)
	})
	wants := func(max uint16) *tls.Config {
		return &tls.Config{MaxVersion: max, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	}
	var bare atomic.Int64
	seen := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			bare.Add(1)
		}
		server.ServeHTTP(w, r)
	})

	for _, c := range []struct {
		name    string
		handler http.Handler
		config  *tls.Config
		change  func(*x509.Certificate)
		args    []string
		noCA    bool
		host    string
		says    string // in the error
		hint    string // empty: all is well
	}{
		{name: "old versions", config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, says: "only TLS versions before 1.2", hint: "administrator has to switch TLS 1.2 or 1.3 on"},
		{name: "RSA key exchange", config: &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, says: "no TLS cipher in common", hint: "administrator has to switch on a cipher suite with ECDHE"},
		{name: "certificate wanted, 1.2", config: wants(tls.VersionTLS12), says: "wants a client certificate, and none was given", hint: "--client-cert and --client-key"},
		{name: "certificate wanted, 1.3", config: wants(0), says: "wants a client certificate, and none was given", hint: "--client-cert and --client-key"},
		{name: "certificate wanted by HTTP", handler: nginx, config: &tls.Config{ClientAuth: tls.RequestClientCert}, says: "wants a client certificate, and none was given", hint: "--client-cert and --client-key"},
		{name: "another's certificate, 1.2", config: wants(tls.VersionTLS12), args: wrong, says: "does not accept the client certificate", hint: "which authority must sign it"},
		{name: "another's certificate, 1.3", config: wants(0), args: wrong, says: "does not accept the client certificate", hint: "which authority must sign it"},
		{name: "certificate given, 1.2", handler: seen, config: wants(tls.VersionTLS12), args: given},
		{name: "certificate given, 1.3", handler: seen, config: wants(0), args: given},
		{name: "certificate given by HTTP", handler: nginx, config: &tls.Config{ClientAuth: tls.RequestClientCert}, args: given},
		{name: "unknown authority", config: &tls.Config{}, noCA: true, says: "unknown authority", hint: "--ca-file or PRIVSYNC_CA_FILE"},
		{name: "another host", config: &tls.Config{}, host: "localhost", says: "localhost", hint: "administrator get a certificate for this name"},
		{name: "no host", config: &tls.Config{}, change: func(c *x509.Certificate) { c.IPAddresses = nil }, says: "127.0.0.1", hint: "subject alternative names"},
		{name: "expired", config: &tls.Config{}, change: func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, -1, 0) }, says: "expired", hint: "administrator renew it"},
		{name: "not for servers", config: &tls.Config{}, change: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, says: "usage", hint: "server authentication"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.handler == nil {
				c.handler = server
			}
			at := start(t, c.handler, c.config, c.change)
			if c.host != "" {
				at = strings.Replace(at, "127.0.0.1", c.host, 1)
			}
			set := maps.Clone(variables)
			set["PRIVSYNC_URL"] = at
			args := c.args
			if !c.noCA {
				args = append([]string{"--ca-file", ca}, args...)
			}
			began := time.Now()
			code, stdout, stderr := invoke(t, set, append([]string{"privileges"}, args...)...)
			_, doctor, _ := invoke(t, set, append([]string{"doctor", "--format", "json"}, args...)...)
			var doc struct {
				Healthy bool
				Checks  []check
			}
			if err := json.Unmarshal([]byte(doctor), &doc); err != nil {
				t.Fatalf("%v in %s", err, doctor)
			}
			if c.hint == "" {
				if code != executor.ExitOK || !doc.Healthy || stdout == "" {
					t.Errorf("exit code %d, healthy %t\n%s%s", code, doc.Healthy, stderr, doctor)
				}
				return
			}
			message, hint, _ := strings.Cut(stderr, "hint: ")
			if code != executor.ExitError || !strings.Contains(message, c.says) || !strings.Contains(hint, c.hint) {
				t.Errorf("exit code %d, want %q and the hint %q in\n%s", code, c.says, c.hint, stderr)
			}
			if !slices.ContainsFunc(doc.Checks, func(k check) bool {
				return k.Name == "way to the server" && k.Status == "failed" && strings.Contains(k.Found, c.says) && strings.Contains(k.Advice, c.hint)
			}) {
				t.Errorf("the doctor says\n%s", doctor)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s: a refusal was tried again", took)
			}
		})
	}
	if bare.Load() != 0 {
		t.Errorf("%d requests without the client certificate", bare.Load())
	}
}

// The two files of a client certificate are checked together, before anything is sent.
func TestClientCertificateFiles(t *testing.T) {
	own := newAuthority(t)
	certPEM, keyPEM := own.sign(nil)
	cert, key := writeTemp(t, "client.pem", certPEM), writeTemp(t, "client.key", keyPEM)
	_, otherKey := own.sign(nil)
	old, oldKey := own.sign(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, -1) })
	open := writeTemp(t, "open.key", keyPEM)
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{"PRIVSYNC_URL": "https://127.0.0.1:1/M", "PRIVSYNC_USERNAME": "u", "PRIVSYNC_PASSWORD": "p"}
	for _, c := range []struct {
		name, cert, key string
		want            string
	}{
		{"no key", cert, "", "--client-cert without --client-key"},
		{"no certificate", "", key, "--client-key without --client-cert"},
		{"another's key", cert, writeTemp(t, "other.key", otherKey), "private key does not match"},
		{"swapped", key, cert, "cannot be used"},
		{"no PEM", writeTemp(t, "no.pem", []byte("text")), key, "cannot be used"},
		{"passphrase", cert, writeTemp(t, "enc.key", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")), "passphrase"},
		{"ended", writeTemp(t, "old.pem", old), writeTemp(t, "old.key", oldKey), "it ended on"},
		{"absent", cert, filepath.Join(t.TempDir(), "absent"), "--client-key: "},
		{"writable by others", cert, open, "--client-key: "},
	} {
		for _, by := range []string{"flag", "variable"} {
			t.Run(c.name+" by "+by, func(t *testing.T) {
				set, args := maps.Clone(base), []string{"privileges"}
				for _, f := range [][3]string{{"--client-cert", "PRIVSYNC_CLIENT_CERT", c.cert}, {"--client-key", "PRIVSYNC_CLIENT_KEY", c.key}} {
					switch {
					case f[2] == "":
					case by == "flag":
						args = append(args, f[0], f[2])
					default:
						set[f[1]] = f[2]
					}
				}
				code, _, stderr := invoke(t, set, args...)
				if code != executor.ExitError || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "hint: ") || strings.Contains(stderr, "127.0.0.1:1") {
					t.Errorf("exit code %d, want %q in\n%s", code, c.want, stderr)
				}
			})
		}
	}
}

// What a proxy refuses of plain http and of a tunnel is named as the proxy's, with what
// to do; NO_PROXY goes past it.
func TestProxyOnTheWay(t *testing.T) {
	var status atomic.Int64
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, "<html><title>Blocked</title></html>")
	}))
	t.Cleanup(proxy.Close)
	address := strings.TrimPrefix(proxy.URL, "http://")
	p := newProgram(t, mstrtest.Options{})
	base := slices.Clone(p.env)
	for _, scheme := range []string{"http", "https"} {
		for code, want := range map[int][2]string{
			http.StatusProxyAuthRequired: {"it wants a login of its own", "USER:PASSWORD@HOST:PORT"},
			http.StatusForbidden:         {"its rules do not allow this server", "whoever runs the proxy"},
		} {
			t.Run(scheme+" "+http.StatusText(code), func(t *testing.T) {
				status.Store(int64(code))
				before := asked.Load()
				p.env = append(slices.Clone(base), "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
				exit, stdout, stderr := p.run("privileges", "--url", scheme+"://bi.example.invalid/M", "--allow-http", "--max-attempts", "3")
				if exit != executor.ExitError || !strings.Contains(stderr, "the proxy "+address) || !strings.Contains(stderr, want[0]) || !strings.Contains(stderr, want[1]) {
					t.Errorf("exit code %d, want %q in\n%s%s", exit, want, stdout, stderr)
				}
				if n := asked.Load() - before; n != 1 {
					t.Errorf("the proxy was asked %d times, want once", n)
				}
			})
		}
	}
	before := asked.Load()
	p.env = append(base, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=.example.invalid")
	_, _, stderr := p.run("privileges", "--url", "https://bi.example.invalid/M", "--max-attempts", "1")
	if asked.Load() != before || !strings.Contains(stderr, "host name") {
		t.Errorf("NO_PROXY did not count: %s", stderr)
	}
}
