package mstrapi

import (
	"context"
	"net/http"
)

// AccessWrite is the bit of an object's acg (the caller's access to it) that says
// that the caller may change it; full control is 255.
const AccessWrite = 8

// Access returns the acg of a user or a group: the session's own access to that
// object, as bits. It is -1 where the server does not tell.
func (r *Reader) Access(ctx context.Context, kind Kind, id ObjectID) (int, error) {
	path, err := principalPath(kind, id, "")
	if err != nil {
		return -1, err
	}
	var answer struct {
		ACG *int `json:"acg"`
	}
	err = r.c.do(ctx, &request{
		method: http.MethodGet, path: path, query: "fields=id,acg", limit: singleLimit,
		accept: acceptJSON(&answer, func() error { return nil }),
	})
	if err != nil || answer.ACG == nil {
		return -1, err
	}
	return *answer.ACG, nil
}
