package mstrapi

import (
	"context"
	"net/http"
)

// Projects returns the projects that the session's user sees, in the server's order.
// [IsRouteMissing] holds of the error where the server's version has no such endpoint.
func (r *Reader) Projects(ctx context.Context) ([]ObjectRef, error) {
	var answer []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	var projects []ObjectRef
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/projects", limit: r.c.cfg.MaxAnswer,
		accept: acceptJSON(&answer, func() error {
			projects = make([]ObjectRef, 0, len(answer))
			for _, p := range answer {
				id, ok := parseObjectID(p.ID)
				if !ok {
					return incompletef("a project without an id")
				}
				projects = append(projects, ObjectRef{ID: id, Name: p.Name})
			}
			return nil
		}),
	})
	return projects, err
}
