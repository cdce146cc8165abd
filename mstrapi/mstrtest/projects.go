package mstrtest

func (s *Server) listProjects(c *call) {
	fields := c.fields()
	b := append(c.resp.body, '[')
	for i, p := range s.st.projects {
		if i > 0 {
			b = append(b, ',')
		}
		o := newObject(b, fields)
		o.string("id", string(p.ID))
		o.string("name", p.Name)
		b = o.end()
	}
	c.resp.body = append(b, ']')
}
