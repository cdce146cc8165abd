package mstrapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Writer is a session that can grant and revoke privileges and submit metadata
// commands, besides everything that a [Reader] can do. All methods may be called
// concurrently. Get one from [OpenWriter].
type Writer struct {
	*Reader
}

// OpenWriter is [OpenReader] for a Writer.
func OpenWriter(ctx context.Context, cfg Config) (*Writer, error) {
	r, err := OpenReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Writer{r}, nil
}

// An operation is one entry of an operationList.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// PatchPrivileges adds and removes direct grants of one user or group, in one
// request. It is sent again only when the server surely did not act: it asked to
// slow down, the session was lost, or no connection came about. For any other
// failure [OutcomeUnknown] says whether the change may have happened. nil means
// that the server said yes, which proves nothing: read to verify.
//
// p.Comment is sent as it is; ask [SupportsComment] first.
func (w *Writer) PatchPrivileges(ctx context.Context, kind Kind, id ObjectID, p PrivilegePatch) error {
	path, err := principalPath(kind, id, "")
	if err != nil {
		return err
	}
	body, err := patchBody(p)
	if err != nil {
		return err
	}
	return w.c.do(ctx, &request{
		method: http.MethodPatch, path: path, query: "fields=id", body: body,
		class: writeRequest, limit: singleLimit, locked: true,
		accept: func(body []byte, _ http.Header) error {
			// The answer says nothing about privileges, but a page or half a document
			// may mean that a proxy made it up.
			if len(body) > 0 && !json.Valid(body) {
				return incompletef("the answer to the change is not JSON")
			}
			return nil
		},
	})
}

// patchBody returns the body that makes the change p.
func patchBody(p PrivilegePatch) ([]byte, error) {
	if len(p.Add)+len(p.Remove) == 0 {
		return nil, errors.New("a change without privileges")
	}
	for _, id := range slices.Concat(p.Add, p.Remove) {
		if err := checkPrivilege(id); err != nil {
			return nil, err
		}
	}
	for _, id := range p.Add {
		if slices.Contains(p.Remove, id) {
			return nil, fmt.Errorf("privilege %d is to be both added and removed", id)
		}
	}
	var body struct {
		OperationList []operation `json:"operationList"`
	}
	if len(p.Add) > 0 {
		body.OperationList = append(body.OperationList, operation{"add", "/privileges", p.Add})
	}
	if len(p.Remove) > 0 {
		body.OperationList = append(body.OperationList, operation{"remove", "/privileges", p.Remove})
	}
	if p.Comment != "" {
		body.OperationList = append(body.OperationList, operation{"add", "/changeJournal/userComments", p.Comment})
	}
	return encodeJSON(body), nil
}

// SubmitCommand submits a metadata command and returns the id of its queue
// entry, for [Reader.Queue]. It is repeated as rarely as PatchPrivileges; when
// [OutcomeUnknown] holds of the error, the command may be running.
func (w *Writer) SubmitCommand(ctx context.Context, commandID int) (queueID string, err error) {
	if commandID < 1 {
		return "", fmt.Errorf("command %d: want a positive number", commandID)
	}
	var answer struct {
		Link struct {
			Href string `json:"href"`
		} `json:"link"`
	}
	err = w.c.do(ctx, &request{
		method: http.MethodPost, path: "/api/iserver/metadata/commands", query: "commandId=" + strconv.Itoa(commandID),
		class: writeRequest, limit: singleLimit, locked: true,
		accept: acceptJSON(&answer, func() error {
			before, id, ok := cutLast(answer.Link.Href, "/")
			if !ok || !strings.HasSuffix(before, "/queues") || !isQueueID(id) {
				return incompletef("no link to a queue entry")
			}
			queueID = id
			return nil
		}),
	})
	if err != nil {
		return "", err
	}
	return queueID, nil
}

// cutLast is strings.Cut at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// SupportsComment reports whether a server of that version takes a comment for
// its change journal when a user or a group is changed: users from 11.5.0900 on,
// groups from 11.5.1100 on. It is false for a version that cannot be read: older
// servers refuse the whole change.
func SupportsComment(kind Kind, iServerVersion string) bool {
	least := []int{11, 5, 900}
	if kind == Group {
		least[2] = 1100
	}
	parts := strings.Split(iServerVersion, ".")
	if len(parts) < len(least) {
		return false
	}
	version := make([]int, len(least))
	for i := range version {
		part := parts[i]
		if end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		version[i] = n
	}
	return slices.Compare(version, least) >= 0
}
