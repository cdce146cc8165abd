package policy

import (
	"bytes"
	"io"
	"os"
	"slices"

	"gopkg.in/yaml.v3"
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

// licenceProducts are the names of the vendor's enumeration, in its order. Never
// changed. Their places, which are the products' numbers, are not the policy's
// business.
var licenceProducts = []string{
	"RESERVED", "CLIENT_REPORTER", "CLIENT_WEB", "CLIENT_APPLICATION", "CLIENT_MOBILE", "CLIENT_ARCHITECT",
	"SERVER_REPORTER", "SERVER_INTELLIGENCE", "SERVER_ANALYTICS", "SERVER_COLLABORATION", "SERVER_DISTRIBUTION",
	"SERVER_TRANSACTION", "SERVER_GEOSPATIAL", "CLIENT_HYPER_WEB", "DRIVERS_BIG_DATA", "DRIVERS_OLAP",
	"GATEWAY_EMM_MOBILE_IRON", "GATEWAY_EMM_AIRWATCH_BY_VMWARE", "GATEWAY_EMM_APP_CONFIG",
	"GATEWAY_EMM_BLACKBERRY_DYNAMICS", "CLIENT_APPLICATION_TABLEAU", "CLIENT_APPLICATION_POWER_BI",
	"CLIENT_APPLICATION_QLIK", "CLIENT_APPLICATION_OFFICE", "CLIENT_HYPER_MOBILE", "CLIENT_HYPER_OFFICE",
	"CLIENT_HYPER_MESSAGING", "CLIENT_HYPER_SCREEN", "CLIENT_HYPER_VOICE", "CLIENT_HYPER_DESKTOP", "CLIENT_HYPER_API",
	"CLIENT_APPLICATION_JUPYTER", "PLACEHOLDER_1", "PLACEHOLDER_2", "CLIENT_APPLICATION_RSTUDIO", "PRODUCT_01",
	"PRODUCT_02", "PRODUCT_03", "PRODUCT_04", "PRODUCT_05", "PRODUCT_06", "CLIENT_DESKTOP",
}

// LicenceProducts returns the names that safety.licences may hold.
func LicenceProducts() []string { return slices.Clone(licenceProducts) }

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
	p.section(v, "licences", append([]string{defaultLicences}, licenceProducts...), func(key string, k, v *yaml.Node) {
		limit := LicenceLimit{Product: key, Pos: p.pos(k)}
		if key == defaultLicences {
			limit.Product = ""
		}
		if v.Kind != yaml.MappingNode || key == defaultLicences {
			_, limit.Entitled = p.word(v, key, entitled)
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
