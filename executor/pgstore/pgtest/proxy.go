package pgtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Action is what a [Proxy] does with a statement.
type Action int

const (
	Pass      Action = iota
	CutBefore        // the connection ends before the server gets it
	CutAfter         // the server gets it, and the connection ends before its answer
	Refuse           // the server does not get it: the disk is full
)

// Proxy stands between clients and a server and looks at the statements.
type Proxy struct {
	*relay
	socket   string
	decide   func(n int, text string) Action
	sessions sync.WaitGroup

	counted sync.Mutex // guards n, and is held while decide runs
	n       int
}

// NewProxy starts a proxy. Decide is asked about every statement: its number, from 1 on over
// all connections, and the text that the client sent with it, in which what it was is to be
// found. It is called by one goroutine at a time.
func (s *Server) NewProxy(decide func(n int, text string) Action) (*Proxy, error) {
	r, err := listen()
	if err != nil {
		return nil, err
	}
	p := &Proxy{relay: r, socket: s.Socket(), decide: decide}
	p.start(p.serve)
	return p, nil
}

// Statements returns how many statements there were.
func (p *Proxy) Statements() int {
	p.counted.Lock()
	defer p.counted.Unlock()
	return p.n
}

// Wait returns when no client is connected any more, and the server has done what they
// told it.
//
// A session whose server does not end within some seconds is cut.
func (p *Proxy) Wait() {
	late := time.AfterFunc(5*time.Second, p.Close)
	defer late.Stop()
	p.sessions.Wait()
}

// serve starts a session for a client.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.socket)
	if err != nil {
		_ = client.Close()
		return
	}
	p.keep(server)
	s := &session{p: p, client: client, server: server, status: 'I'}
	p.sessions.Add(1)
	go s.answers()
	go s.statements()
}

// session is one connection. A session that is cut passes nothing more on.
type session struct {
	p              *Proxy
	client, server net.Conn

	mu     sync.Mutex // guards what follows, and writing to the client
	status byte       // of the transaction, as the server said it last
	cut    bool
}

func (s *session) end() {
	_ = s.client.Close()
	_ = s.server.Close()
}

// statements passes on what the client says, until the connection ends.
func (s *session) statements() {
	if !s.forward() {
		s.end()
	}
}

// forward passes on one statement after the other. It reports whether the server's next
// answer is to end the connection.
func (s *session) forward() (answered bool) {
	// The first message has no type.
	head := make([]byte, 4)
	if _, err := io.ReadFull(s.client, head); err != nil {
		return false
	}
	first := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(s.client, first); err != nil {
		return false
	}
	if _, err := s.server.Write(append(head, first...)); err != nil {
		return false
	}
	var pending []byte
	for {
		kind, message, err := readMessage(s.client)
		if err != nil {
			// What it sent before the server still does.
			_, err := s.server.Write([]byte{'X', 0, 0, 0, 4})
			return err == nil
		}
		pending = append(pending, message...)
		if kind != 'S' && kind != 'Q' {
			if kind == 'p' || kind == 'X' { // a password, the end
				if _, err := s.server.Write(pending); err != nil {
					return false
				}
				pending = nil
			}
			continue
		}
		s.p.counted.Lock()
		s.p.n++
		action := s.p.decide(s.p.n, string(pending))
		s.p.counted.Unlock()
		switch action {
		case CutBefore:
			return false
		case CutAfter:
			s.mu.Lock()
			s.cut = true
			s.mu.Unlock()
			if _, err := s.server.Write(pending); err != nil {
				return false
			}
			return true
		case Refuse:
			if err := s.refuse(); err != nil {
				return false
			}
		default:
			if _, err := s.server.Write(pending); err != nil {
				return false
			}
		}
		pending = nil
	}
}

// refuse answers a statement as a server does whose disk is full.
func (s *session) refuse() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := []byte("SERROR\x00VERROR\x00C53100\x00Mcould not extend file: No space left on device\x00\x00")
	out := append([]byte{'E'}, binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))...)
	out = append(out, body...)
	status := s.status
	if status == 'T' {
		// The server's transaction goes on; the client will take it back.
		status = 'E'
	}
	out = append(out, 'Z', 0, 0, 0, 5, status)
	_, err := s.client.Write(out)
	return err
}

// answers passes on what the server says.
func (s *session) answers() {
	defer s.p.sessions.Done()
	defer s.end()
	for {
		kind, message, err := readMessage(s.server)
		if err != nil {
			return
		}
		s.mu.Lock()
		if kind == 'Z' {
			s.status = message[5]
		}
		if s.cut {
			s.mu.Unlock()
			if kind == 'Z' {
				return
			}
			continue
		}
		_, _ = s.client.Write(message) // it may be gone; what it told the server is done all the same
		s.mu.Unlock()
	}
}

// readMessage reads a message with its type and length.
func readMessage(r io.Reader) (kind byte, message []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 1<<30 {
		return 0, nil, fmt.Errorf("a message of %d bytes", size)
	}
	message = make([]byte, size+1)
	copy(message, head)
	_, err = io.ReadFull(r, message[5:])
	return head[0], message, err
}
