package mstrtest

import (
	"net/http"
	"strconv"
)

// States of a queue entry. The documents name 3 only.
const (
	queueRunning = 2
	queueDone    = 3
	queueFailed  = 4
)

// assignWatchKPI is the only metadata command there is.
const assignWatchKPI = "1"

// queue is one submitted command.
type queue struct {
	polls int
	ended bool // its work is done
	idle  bool // its work is none of the queue's
}

func (s *Server) submitCommand(c *call) {
	if id := c.param("commandId"); id != assignWatchKPI {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "the command "+strconv.Quote(id)+" does not exist")
		return
	}
	id := string(DerivedID("queue", strconv.Itoa(c.n)))
	s.queues[id] = &queue{}
	o := newObject(c.resp.body, c.fields())
	if o.key("link") {
		link := newObject(o.buf, nil)
		link.string("href", "/queues/"+id)
		link.string("type", "GET")
		o.buf = link.end()
	}
	c.resp.body = o.end()
}

// getQueue tells how far a command is. Each question brings it one step on.
func (s *Server) getQueue(c *call) {
	q := s.queues[c.id]
	if q == nil {
		s.fail(c.resp, c.n, http.StatusNotFound, "ERR004", codeNotFound, "the queue entry "+strconv.Quote(c.id)+" does not exist")
		return
	}
	polls := s.options.QueuePolls
	if polls <= 0 {
		polls = 3
	}
	q.polls = min(q.polls+1, polls)
	status, progress, code := queueRunning, 100*q.polls/polls, 0
	switch {
	case s.options.QueueEndless:
		progress = min(progress, 99)
	case q.polls < polls:
	case s.options.QueueError != 0:
		status, code = queueFailed, s.options.QueueError
	default:
		status = queueDone
		if !q.ended && !q.idle {
			q.ended = true
			s.runCommand(c.n)
		}
	}
	o := newObject(c.resp.body, c.fields())
	o.raw("status", strconv.Itoa(status))
	o.raw("progress", strconv.Itoa(progress))
	o.raw("iServerErrorCode", strconv.Itoa(code))
	c.resp.body = o.end()
}
