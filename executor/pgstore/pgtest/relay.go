package pgtest

import (
	"net"
	"net/url"
	"sync"
)

// relay is a port of this machine with a server behind it. Sessions are not encrypted.
type relay struct {
	listener net.Listener

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

// listen opens a relay; start lets clients in.
func listen() (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &relay{listener: l}, nil
}

// start gives serve one client after the other.
func (r *relay) start(serve func(client net.Conn)) {
	go func() {
		for {
			client, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.keep(client)
			serve(client)
		}
	}()
}

// keep notes connections that Close is to end.
func (r *relay) keep(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
}

// URL returns the URL of a database for a role, by way of the relay.
func (r *relay) URL(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: r.listener.Addr().String(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Close ends the relay and every connection through it.
func (r *relay) Close() {
	_ = r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}
