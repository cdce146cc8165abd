package mstrtest

import (
	"slices"

	"privsync/mstrapi"
)

// named returns the catalogue with the names that clients are told.
func (s *Server) named(catalogue []mstrapi.Privilege) []mstrapi.Privilege {
	if len(s.options.Quirks.Nameless) == 0 {
		return catalogue
	}
	told := slices.Clone(catalogue)
	for i := range told {
		if slices.Contains(s.options.Quirks.Nameless, told[i].ID) {
			told[i].Name = ""
		}
	}
	return told
}

// appendOdd appends what Quirks.OddCatalogue adds to the entries in b; second is the
// second of them.
func appendOdd(b, second []byte) []byte {
	b = append(b, `,{"name":"No number","isProjectLevelPrivilege":false},{"id":"65001","name":"No level"},`...)
	return append(b, second...)
}
