package policy

import (
	"bytes"
	"io"
	"os"

	"gopkg.in/yaml.v3"

	"privsync/mstr"
)

// LicenceFile names the file of the licence map, as the policy writes it: relative
// to the policy's own file.
type LicenceFile struct {
	Path string
	Pos  Position
}

// LicenceLimit bounds how many users may consume a product. Product is a name of
// the vendor's enumeration; empty for all products that have no limit of their own.
type LicenceLimit struct {
	Product string
	// Entitled: as many as the server says there are licences; otherwise Max.
	Entitled bool
	Max      int
	Pos      Position
}

type licencesSection struct {
	pos  Position
	path word
}

const (
	defaultLicences = "default"
	entitled        = "entitled"
)

func (p *parser) licences(k, v *yaml.Node) licencesSection {
	s := licencesSection{pos: p.pos(k)}
	p.section(v, "licences", []string{"map"}, func(key string, _, v *yaml.Node) {
		s.path = p.wordAt(v, p.name, key)
	})
	return s
}

// licenceLimits reads safety.licences.
func (p *parser) licenceLimits(v *yaml.Node) []LicenceLimit {
	var all []LicenceLimit
	p.section(v, "licences", append([]string{defaultLicences}, mstr.Products()...), func(key string, k, v *yaml.Node) {
		limit := LicenceLimit{Product: key, Pos: p.pos(k)}
		if key == defaultLicences {
			limit.Product = ""
		}
		if v.Kind != yaml.MappingNode || key == defaultLicences {
			_, limit.Entitled = oneOf(p, v, key, entitled)
			if limit.Entitled {
				all = append(all, limit)
			}
			return
		}
		given := false
		sound := p.mapping(v, key, []string{"max"}, func(_ string, _, v *yaml.Node) {
			var ok bool
			if limit.Max, ok = p.integer(v, "max", 0, maxLimit); ok {
				given = true
				all = append(all, limit)
			}
		})
		if sound && !given && len(v.Content) == 0 {
			p.problem(v, "write {max: 120}, or entitled", "%s has no limit", key)
		}
	})
	return all
}

// isLicenceMap reports whether the file begins as the maps do that privsync licences
// learn writes.
func isLicenceMap(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, 128))
	return err == nil && bytes.Contains(head, []byte(`"privsync/licences/v1"`))
}
