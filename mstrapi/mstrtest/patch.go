package mstrtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"privsync/mstrapi"
)

// Paths of the operations that a PATCH may hold.
const (
	privilegesPath = "/privileges"
	commentPath    = "/changeJournal/userComments"
)

// Versions from which the change journal takes a comment with a PATCH.
const (
	userCommentVersion  = "11.5.0900"
	groupCommentVersion = "11.5.1100"
)

// operations is the body of a PATCH.
type operations struct {
	List []struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	} `json:"operationList"`
}

// patch carries out a PATCH. The caller holds mu for writing. With lie it
// answers in the same way but does nothing.
func (s *Server) patch(c *call, kind mstrapi.Kind, lie bool) {
	if !s.mayManage(c) {
		return
	}
	p := s.find(c, kind)
	if p == nil {
		return
	}
	if p.readOnly {
		s.refuse(c)
		return
	}
	changes, comment, problem := s.parse(c, kind)
	if problem != "" {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, problem)
		return
	}
	if !lie {
		granted, revoked := s.write(p, changes, c.n)
		if comment != "" {
			s.journal = append(s.journal, JournalEntry{
				Request: c.n, Time: s.now(), Principal: p.id, User: c.user.login, Comment: comment,
			})
		}
		p.modified = s.now().UnixMilli()
		s.log.update(c.entry, func(r *Request) {
			r.Applied, r.Target, r.Granted, r.Revoked = true, p.id, granted, revoked
		})
	}
	c.resp.body = appendObject(c.resp.body, p, c.fields())
}

// parse returns the changes and the comment that a body asks for, or what is
// wrong with it.
func (s *Server) parse(c *call, kind mstrapi.Kind) (changes []change, comment, problem string) {
	var body operations
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, "", "the body is not valid JSON: " + err.Error()
	}
	if len(body.List) == 0 {
		return nil, "", "operationList is missing or empty"
	}
	others := ""
	for _, op := range body.List {
		if op.Op != "add" && op.Op != "remove" && op.Op != "replace" {
			return nil, "", fmt.Sprintf("operation %q is not supported", op.Op)
		}
		switch op.Path {
		case privilegesPath:
			if op.Op == "replace" {
				return nil, "", "privileges can be added and removed, not replaced"
			}
			values, problem := s.values(op.Value)
			if problem != "" {
				return nil, "", problem
			}
			changes = append(changes, change{add: op.Op == "add", values: values})
		case commentPath:
			since := userCommentVersion
			if kind == mstrapi.Group {
				since = groupCommentVersion
			}
			if olderThan(s.iServerVersion, since) {
				return nil, "", fmt.Sprintf("path %q is not supported", op.Path)
			}
			if op.Op != "add" || json.Unmarshal(op.Value, &comment) != nil {
				return nil, "", "a comment must be added, and be a string"
			}
		default:
			others = op.Path
		}
	}
	switch {
	case others != "" && len(changes) > 0:
		return nil, "", fmt.Sprintf("operations on %s cannot be mixed with operations on %q", privilegesPath, others)
	case others != "":
		return nil, "", fmt.Sprintf("path %q is not supported", others)
	}
	return changes, comment, ""
}

// values reads a list of privilege numbers: integers, or strings of digits as
// the vendor's SDK sends them.
func (s *Server) values(raw json.RawMessage) (values []int, problem string) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, "value must be a list of privilege numbers"
	}
	for _, element := range list {
		text := string(element)
		if unquoted := ""; json.Unmarshal(element, &unquoted) == nil && text != "null" {
			text = unquoted
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Sprintf("%s is not a privilege number", element)
		}
		i, ok := s.st.index[mstrapi.PrivilegeID(number)]
		if !ok {
			return nil, fmt.Sprintf("privilege %d does not exist", number)
		}
		values = append(values, i)
	}
	return values, ""
}

// olderThan compares versions of the form 11.5.0900.0123 number by number, as
// far as both go. A version that cannot be read is older.
func olderThan(version, than string) bool {
	have, want := strings.Split(version, "."), strings.Split(than, ".")
	for i := range want {
		if i >= len(have) {
			return true
		}
		h, err := strconv.Atoi(have[i])
		w, err2 := strconv.Atoi(want[i])
		if err != nil || err2 != nil {
			return true
		}
		if h != w {
			return h < w
		}
	}
	return false
}
