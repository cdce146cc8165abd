package planner

import (
	"slices"
	"time"
)

// LicenceUseFormat is the value of format in every [LicenceUse].
const LicenceUseFormat = "privsync/licence-use/v1"

// LicenceUse says who consumes which product now, and by what. Its JSON form is
// described by schema/licence-use.schema.json.
type LicenceUse struct {
	Format         string        `json:"format"`
	Tool           Tool          `json:"tool"`
	ReadAt         time.Time     `json:"readAt"` // when the reading began, in UTC
	Environment    Environment   `json:"environment"`
	Actor          Actor         `json:"actor"`
	Policy         CoveringRef   `json:"policy"`
	Map            MapRef        `json:"map"`
	ComplianceTime *time.Time    `json:"complianceTime"` // as in [Licences]
	Complete       bool          `json:"complete"`       // everybody whom the policy covers was read
	Counted        CountedUsers  `json:"counted"`
	Products       []ProductUse  `json:"products"` // by number
	Rows           []LicenceSeat `json:"rows"`     // by user, then by number of the product
	Findings       []Finding     `json:"findings"` // what is in doubt, and what could not be found or read
}

// CoveringRef names the policy that says who is covered.
type CoveringRef struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// ProductUse is how many users consume one product; the members are those of
// [ProductForecast].
type ProductUse struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	Users     int    `json:"users"`
	AtLeast   bool   `json:"atLeast"`
	Entitled  *int   `json:"entitled"`
	Unlimited bool   `json:"unlimited"`
	LastUsage *int   `json:"lastUsage,omitempty"`
	Apart     int    `json:"apart,omitempty"`
}

// LicenceSeat is one user who consumes one product. Apart says that the user is in
// no number: see [ProductForecast].
type LicenceSeat struct {
	Principal Principal      `json:"principal"`
	Product   LicenceProduct `json:"product"`
	Apart     bool           `json:"apart,omitempty"`
	Through   []Through      `json:"through"`
}

// LicenceUse returns who consumes which product by p, the plan of an audit (see
// [Judging]) with a licence map; nil without one.
func (p *Plan) LicenceUse(readAt time.Time) *LicenceUse {
	l := p.Licences
	if l == nil {
		return nil
	}
	use := &LicenceUse{
		Format: LicenceUseFormat, Tool: p.Tool, ReadAt: readAt.UTC().Truncate(time.Second), Environment: p.Environment, Actor: p.Actor, Policy: CoveringRef{p.Policy.Name, p.Policy.Digest},
		Map: l.Map, ComplianceTime: l.ComplianceTime, Complete: p.Complete && len(p.Blocking()) == 0, Counted: l.Counted,
		Products: []ProductUse{}, Rows: []LicenceSeat{}, Findings: []Finding{},
	}
	for i := range l.Products {
		f := &l.Products[i]
		use.Products = append(use.Products, ProductUse{f.ID, f.Name, f.Now, f.AtLeast, f.Entitled, f.Unlimited, f.LastUsage, f.Apart})
		product := LicenceProduct{ID: f.ID, Name: f.Name}
		for _, c := range f.Consumers {
			use.Rows = append(use.Rows, LicenceSeat{c.Principal, product, false, c.Through})
		}
		for _, c := range f.ApartUsers {
			use.Rows = append(use.Rows, LicenceSeat{c.Principal, product, true, c.Through})
		}
	}
	slices.SortStableFunc(use.Rows, func(a, b LicenceSeat) int { return a.Principal.Compare(&b.Principal) })
	use.Findings = append(use.Findings, p.findingsWhere(func(f *Finding) bool { return f.Code == CodeReadFailed })...)
	use.Findings = append(use.Findings, p.Blocking()...)
	use.Findings = append(use.Findings, p.findingsWhere(func(f *Finding) bool { return f.Code == CodeLicenceUncertain })...)
	return use
}
