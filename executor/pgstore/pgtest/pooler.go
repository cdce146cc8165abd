package pgtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
)

// Pooler stands between clients and a server as PgBouncer does with pool_mode=transaction:
// each transaction of a client gets a session that is free, the one that waited longest.
type Pooler struct {
	listener net.Listener
	free     chan net.Conn
	all      []net.Conn
	greeting []byte // what a session says when it lets a client in

	mu      sync.Mutex // guards clients
	clients []net.Conn
}

// NewPooler starts a pooler with so many sessions of a role in a database.
func (s *Server) NewPooler(sessions int, role, database string) (*Pooler, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Pooler{listener: l, free: make(chan net.Conn, sessions)}
	for range sessions {
		conn, err := net.Dial("unix", s.Socket())
		if err != nil {
			p.Close()
			return nil, err
		}
		p.all = append(p.all, conn)
		body := []byte("\x00\x03\x00\x00user\x00" + role + "\x00database\x00" + database + "\x00\x00")
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
			p.Close()
			return nil, err
		}
		p.greeting = nil
		for kind := byte(0); kind != 'Z'; {
			var message []byte
			if kind, message, err = readMessage(conn); err != nil || kind == 'E' {
				p.Close()
				return nil, fmt.Errorf("session of the pooler: %w %x", err, message)
			}
			if kind == 'K' {
				copy(message[5:9], "\x7f\xff\xff\xff") // the pooler names no session of its server
			}
			p.greeting = append(p.greeting, message...)
		}
		p.free <- conn
	}
	go p.accept()
	return p, nil
}

// URL returns the URL of a database for a role, by way of the pooler.
func (p *Pooler) URL(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Host: p.listener.Addr().String(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Close ends the pooler with its sessions and clients.
func (p *Pooler) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range append(p.all, p.clients...) {
		_ = c.Close()
	}
}

func (p *Pooler) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.clients = append(p.clients, client)
		p.mu.Unlock()
		go p.serve(client)
	}
}

// serve lets a client in and carries out its transactions.
func (p *Pooler) serve(client net.Conn) {
	defer client.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(client, head); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, client, int64(binary.BigEndian.Uint32(head))-4); err != nil {
		return
	}
	if _, err := client.Write(p.greeting); err != nil {
		return
	}
	var session net.Conn
	for {
		kind, message, err := readMessage(client)
		if err != nil || kind == 'X' {
			if session != nil {
				_ = session.Close() // in the middle of a transaction
			}
			return
		}
		if session == nil {
			session = <-p.free
		}
		if _, err := session.Write(message); err != nil {
			return
		}
		if kind != 'S' && kind != 'Q' {
			continue
		}
		for kind != 'Z' {
			if kind, message, err = readMessage(session); err != nil {
				return
			}
			if _, err := client.Write(message); err != nil {
				return
			}
		}
		if message[5] == 'I' {
			p.free <- session
			session = nil
		}
	}
}
