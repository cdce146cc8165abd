package mstrtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"privsync/mstrapi"
)

const demoID mstrapi.ObjectID = "6C9DFE134D0F8764893B469525E38EB0"

// example loads the environment that the project ships.
func example(t testing.TB) *Environment {
	t.Helper()
	data, err := os.ReadFile("../../examples/environment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env, err := LoadEnvironment(data)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// client is the least that can talk to the server.
type client struct {
	t     testing.TB
	base  string
	http  *http.Client
	token string
}

func newClient(t testing.TB, transport http.RoundTripper, base string) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, base: base, http: &http.Client{Transport: transport, Jar: jar}}
}

// dial makes a client of s without a network.
func dial(t testing.TB, s *Server) *client {
	t.Helper()
	return newClient(t, s.Transport(), "http://server.example"+s.PathPrefix())
}

// admin is dial, logged in as the administrator.
func admin(t testing.TB, s *Server) *client {
	t.Helper()
	c := dial(t, s)
	c.login("administrator", "")
	return c
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (c *client) try(ctx context.Context, method, path, body string) (answer, error) {
	c.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("X-MSTR-AuthToken", c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

func (c *client) do(method, path, body string) answer {
	c.t.Helper()
	a, err := c.try(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *client) get(path string) answer {
	c.t.Helper()
	return c.do("GET", path, "")
}

// want is do with an expected status.
func (c *client) want(status int, method, path, body string) answer {
	c.t.Helper()
	a := c.do(method, path, body)
	if a.status != status {
		c.t.Fatalf("%s %s = %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

func (c *client) login(name, password string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"loginMode": 1, "username": name, "password": password})
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.want(204, "POST", "/api/auth/login", string(body))
	c.token = a.header.Get("X-MSTR-AuthToken")
	if c.token == "" {
		c.t.Fatal("login gave no token")
	}
}

// failure is the body of an error.
type failure struct {
	Code        string `json:"code"`
	IServerCode int    `json:"iServerCode"`
	Message     string `json:"message"`
	TicketID    string `json:"ticketId"`
}

func (a answer) failure(t testing.TB) failure {
	t.Helper()
	return decode[failure](t, a.body)
}

func decode[T any](t testing.TB, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("not JSON: %v: %.200s", err, body)
	}
	return v
}

// row is a row of a list, as far as the tests care.
type row struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Abbreviation string `json:"abbreviation"`
	Username     string `json:"username"`
	Enabled      *bool  `json:"enabled"`
	Subtype      int    `json:"subtype"`
}

func (c *client) rows(path string) []row {
	c.t.Helper()
	return decode[[]row](c.t, c.want(200, "GET", path, "").body)
}

// held is the answer of GET …/privileges.
type held struct {
	Privileges []struct {
		Privilege struct {
			ID    string `json:"id"`
			Level string `json:"level"`
		} `json:"privilege"`
		Sources []struct {
			Direct bool `json:"direct"`
			Group  *struct {
				Name string `json:"name"`
			} `json:"group"`
			SecurityRole *struct {
				Name string `json:"name"`
			} `json:"securityRole"`
		} `json:"sources"`
	} `json:"privileges"`
}

// sources returns for each privilege the names of its sources.
func (h held) sources() map[string][]string {
	out := make(map[string][]string)
	for _, p := range h.Privileges {
		for _, s := range p.Sources {
			switch {
			case s.Group != nil:
				out[p.Privilege.ID] = append(out[p.Privilege.ID], s.Group.Name)
			case s.SecurityRole != nil:
				out[p.Privilege.ID] = append(out[p.Privilege.ID], "role "+s.SecurityRole.Name)
			case s.Direct:
				out[p.Privilege.ID] = append(out[p.Privilege.ID], "direct")
			}
		}
	}
	return out
}

func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func sameJSON(t testing.TB, what, want, got string) {
	t.Helper()
	diff(t, what, decode[any](t, want), decode[any](t, got))
}
