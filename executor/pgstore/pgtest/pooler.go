package pgtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// Pooler stands between clients and a server as PgBouncer does with pool_mode=transaction:
// each transaction of a client gets a session that is free, the one that waited longest.
type Pooler struct {
	*relay
	free     chan net.Conn
	greeting []byte // what a session says when it lets a client in
}

// NewPooler starts a pooler with so many sessions of a role in a database.
func (s *Server) NewPooler(sessions int, role, database string) (*Pooler, error) {
	r, err := listen()
	if err != nil {
		return nil, err
	}
	p := &Pooler{relay: r, free: make(chan net.Conn, sessions)}
	for range sessions {
		conn, err := net.Dial("unix", s.Socket())
		if err == nil {
			p.keep(conn)
			err = p.greet(conn, role, database)
		}
		if err != nil {
			p.Close()
			return nil, err
		}
		p.free <- conn
	}
	p.start(func(client net.Conn) { go p.serve(client) })
	return p, nil
}

// greet lets the pooler into the server, and keeps what that says.
func (p *Pooler) greet(conn net.Conn, role, database string) error {
	body := []byte("\x00\x03\x00\x00user\x00" + role + "\x00database\x00" + database + "\x00\x00")
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		return err
	}
	p.greeting = nil
	for {
		kind, message, err := readMessage(conn)
		if err != nil || kind == 'E' {
			return fmt.Errorf("session of the pooler: %w %x", err, message)
		}
		if kind == 'K' {
			copy(message[5:9], "\x7f\xff\xff\xff") // the pooler names no session of its server
		}
		p.greeting = append(p.greeting, message...)
		if kind == 'Z' {
			return nil
		}
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
