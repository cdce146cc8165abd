package planner

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v5"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
	"privsync/schema"
)

// LicenceMapFormat is the value of format in every licence map.
const LicenceMapFormat = "privsync/licences/v1"

// MaxLicenceMapBytes bounds a licence map: a server has some 500 privileges and 42
// products.
const MaxLicenceMapBytes = 8 << 20

// LicenceMap says which privileges consume a licence of which product, as one
// server told it. Its JSON form is described by schema/licences.schema.json.
type LicenceMap struct {
	Format      string           `json:"format"`
	CreatedAt   time.Time        `json:"createdAt"`
	Environment MapEnvironment   `json:"environment"`
	Source      Principal        `json:"source"` // whose privileges told it
	Products    []MappedProduct  `json:"products"`
	NotRead     []LicenceProduct `json:"notRead,omitempty"` // products that could not be asked about
	NoProduct   []PrivilegeRef   `json:"noProduct"`         // known to consume nothing
	// Unknown are the privileges of which nobody knows what they consume.
	Unknown []UnknownPrivilege `json:"unknown"`
	Digest  string             `json:"-"` // sha256:HEX of the file
}

// UnknownPrivilege is a privilege that may consume something. Held says that the
// user whom the map was learnt from holds it: then it is of no product but one of
// those that could not be asked about.
type UnknownPrivilege struct {
	PrivilegeRef
	Held bool `json:"held,omitempty"`
}

// MapEnvironment is the server that a map was learnt from.
type MapEnvironment struct {
	URL            string `json:"url"`
	IServerVersion string `json:"iServerVersion"`
}

// LicenceProduct is a product by number and name.
type LicenceProduct = mstrapi.LicenceProduct

// MappedProduct is a product with the privileges of which each consumes it.
type MappedProduct struct {
	ID         int            `json:"id"`
	Name       string         `json:"name"`
	Privileges []PrivilegeRef `json:"privileges"`
}

// WriteTo writes the map as JSON, a privilege to a line, so that two maps can be
// compared.
func (m *LicenceMap) WriteTo(w io.Writer) (int64, error) {
	var failed error
	text := func(v any) string {
		out, err := json.Marshal(v)
		failed = cmp.Or(failed, err)
		return string(out)
	}
	lines := func(indent string, n int, of func(i int) string) string {
		out := make([]string, n)
		for i := range out {
			out[i] = "\n" + indent + "  " + of(i)
		}
		if n > 0 {
			out[n-1] += "\n" + indent
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	head, err := json.MarshalIndent(struct {
		Format      string         `json:"format"`
		CreatedAt   time.Time      `json:"createdAt"`
		Environment MapEnvironment `json:"environment"`
		Source      Principal      `json:"source"`
	}{m.Format, m.CreatedAt.UTC().Truncate(time.Second), m.Environment, m.Source}, "", "  ")
	if err != nil {
		return 0, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s,\n  \"products\": %s,\n", bytes.TrimSuffix(head, []byte("\n}")), lines("  ", len(m.Products), func(i int) string {
		p := m.Products[i]
		of := lines("    ", len(p.Privileges), func(k int) string { return text(p.Privileges[k]) })
		return fmt.Sprintf(`{"id": %d, "name": %s, "privileges": %s}`, p.ID, text(p.Name), of)
	}))
	if len(m.NotRead) > 0 {
		fmt.Fprintf(&b, "  \"notRead\": %s,\n", text(m.NotRead))
	}
	fmt.Fprintf(&b, "  \"noProduct\": %s,\n", lines("  ", len(m.NoProduct), func(i int) string { return text(m.NoProduct[i]) }))
	fmt.Fprintf(&b, "  \"unknown\": %s\n}\n", lines("  ", len(m.Unknown), func(i int) string { return text(m.Unknown[i]) }))
	if failed != nil {
		return 0, failed
	}
	return b.WriteTo(w)
}

// ParseLicenceMap reads a licence map. name is the file's, for the positions of
// problems: the error is a [policy.Problems].
func ParseLicenceMap(name string, data []byte) (*LicenceMap, error) {
	places := &jsonPlaces{file: name, data: data, at: make(map[string]int64)}
	if len(data) > MaxLicenceMapBytes {
		return nil, places.problem(0, fmt.Sprintf("a licence map of more than %d MiB", MaxLicenceMapBytes>>20))
	}
	if err := places.find(); err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, places.problem(0, err.Error())
	}
	if root, ok := doc.(map[string]any); !ok || root["format"] != LicenceMapFormat {
		return nil, places.problem(places.at["/format"], fmt.Sprintf("not a licence map: its format is not %s", LicenceMapFormat))
	}
	var invalid *jsonschema.ValidationError
	if err := schema.Validate("licences", doc); errors.As(err, &invalid) {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		return nil, places.problem(places.at[invalid.InstanceLocation], "does not match the schema of licence maps: "+invalid.Message)
	} else if err != nil {
		return nil, err
	}
	m := new(LicenceMap)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, places.problem(0, err.Error())
	}
	if at, problem := m.check(); problem != "" {
		return nil, places.problem(places.at[at], problem)
	}
	sum := sha256.Sum256(data)
	m.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return m, nil
}

// check returns what contradicts itself, and where.
func (m *LicenceMap) check() (at, problem string) {
	names := mstrapi.LicenceProducts()
	known := make(map[int]bool)
	product := func(at string, id int, name string) (string, string) {
		switch {
		case id >= len(names) || names[id].Name != name:
			return at, fmt.Sprintf("product %d is not %s", id, clean.Quote(name))
		case known[id]:
			return at, fmt.Sprintf("product %d stands twice", id)
		}
		known[id] = true
		return "", ""
	}
	consuming := make(map[mstrapi.PrivilegeID]bool)
	for i, p := range m.Products {
		at := fmt.Sprintf("/products/%d", i)
		if at, problem := product(at, p.ID, p.Name); problem != "" {
			return at, problem
		}
		mine := make(map[mstrapi.PrivilegeID]bool)
		for k, ref := range p.Privileges {
			if mine[ref.ID] {
				return fmt.Sprintf("%s/privileges/%d", at, k), fmt.Sprintf("privilege %d stands twice", ref.ID)
			}
			mine[ref.ID], consuming[ref.ID] = true, true
		}
	}
	for i, p := range m.NotRead {
		if at, problem := product(fmt.Sprintf("/notRead/%d", i), p.ID, p.Name); problem != "" {
			return at, problem
		}
	}
	once := func(list string, i int, id mstrapi.PrivilegeID) bool {
		if consuming[id] {
			at, problem = fmt.Sprintf("/%s/%d", list, i), fmt.Sprintf("privilege %d stands in two places", id)
			return false
		}
		consuming[id] = true
		return true
	}
	for i, ref := range m.NoProduct {
		if !once("noProduct", i, ref.ID) {
			return at, problem
		}
	}
	for i, ref := range m.Unknown {
		if !once("unknown", i, ref.ID) {
			return at, problem
		}
	}
	return "", ""
}

// jsonPlaces knows where the values of a JSON document stand, by JSON pointer.
type jsonPlaces struct {
	file string
	data []byte
	at   map[string]int64
}

// maxMapDepth bounds how deep values of a licence map lie in each other, which is 4 in
// one that is right: places of values at any depth would take memory without end.
const maxMapDepth = 16

// find notes where each value begins. It returns a problem where the text is not JSON
// that can be read in one way only.
func (p *jsonPlaces) find() error {
	dec := jsontext.NewDecoder(bytes.NewReader(p.data))
	for {
		start := dec.InputOffset()
		for start < int64(len(p.data)) && strings.IndexByte(" \t\r\n,:", p.data[start]) >= 0 {
			start++
		}
		t, err := dec.ReadToken()
		var broken *jsontext.SyntacticError
		switch errors.As(err, &broken); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return p.problem(int64(len(p.data)), "the licence map ends too early")
		case errors.Is(err, jsontext.ErrDuplicateName):
			return p.problem(broken.ByteOffset, "not a licence map: "+clean.Quote(broken.JSONPointer.LastToken())+" stands twice")
		case broken != nil:
			// Not in the decoder's words, which quote the file: a policy may name any.
			return p.problem(broken.ByteOffset, "not a licence map: it is no JSON from here on")
		case dec.StackDepth() > maxMapDepth:
			return p.problem(start, "not a licence map: values lie too deep in each other")
		}
		if t.Kind() != '}' && t.Kind() != ']' {
			p.at[string(dec.StackPointer())] = start // of a member, too: its value comes after its name
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return p.problem(dec.InputOffset(), "something follows the licence map")
	}
	return nil
}

func (p *jsonPlaces) problem(offset int64, message string) error {
	before := p.data[:min(offset, int64(len(p.data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:])))
	return policy.Problems{{
		Pos: policy.Position{File: p.file, Line: line, Column: column}, Message: message,
		Hint: `make a new one with "privsync licences learn --out FILE"`,
	}}
}

// LicenceReader is what [LearnLicences] needs of a server.
type LicenceReader interface {
	PrincipalReader
	Catalogue(ctx context.Context) ([]mstrapi.Privilege, error)
	LicencePrivileges(ctx context.Context, user mstrapi.ObjectID, product string) ([]mstrapi.PrivilegeID, error)
}

// Learnt is a map with what there is to say about how it was learnt.
type Learnt struct {
	Map     *LicenceMap
	LeftOut []LicenceProduct // products that the server does not have, or the user nothing of
	Failed  map[string]error // why products could not be asked about, by name
}

// ErrNoLicenceRoute is matched by the error of [LearnLicences] that says that the
// server's version does not tell about licences.
var ErrNoLicenceRoute = errors.New("this version of the server does not tell which privileges belong to which product (it can since 2021 Update 10)")

// ErrNothingLearnt is matched by the error of [LearnLicences] that says that no
// product was named. A map of it would say that nothing costs anything.
var ErrNothingLearnt = errors.New("holds nothing of any product, so nothing can be learnt from it")

// LearnLicences asks for every product of the enumeration which privileges of the
// user consume it. What the user holds and no product names is known to consume
// nothing, if every product could be asked about; what it does not hold nobody
// knows. The error is the server's refusal to the session (see
// [mstrapi.IsForbidden]), or matches [ErrNoLicenceRoute] or [ErrNothingLearnt].
func LearnLicences(ctx context.Context, r LicenceReader, user Principal) (*Learnt, error) {
	list, err := r.Catalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalogue of privileges: %w", err)
	}
	slices.SortFunc(list, func(a, b mstrapi.Privilege) int { return cmp.Compare(a.ID, b.ID) })
	seen, err := ReadPrincipal(ctx, r, mstrapi.User, user.ID, mstrapi.LevelAll)
	if err != nil {
		return nil, err
	}
	out := &Learnt{Map: &LicenceMap{
		Format: LicenceMapFormat, Source: user, Products: []MappedProduct{}, NoProduct: []PrivilegeRef{}, Unknown: []UnknownPrivilege{},
	}, Failed: make(map[string]error)}
	names := make(map[mstrapi.PrivilegeID]string, len(list))
	for _, p := range list {
		names[p.ID] = p.Name
	}
	var held, consuming Set
	for i := range seen.Held {
		held.Add(seen.Held[i].ID)
	}
	absent, refusals := 0, 0
	var refused error
	for _, product := range mstrapi.LicenceProducts() {
		ids, err := r.LicencePrivileges(ctx, user.ID, product.Name)
		var answer *mstrapi.Error
		switch {
		case err == nil && len(ids) > 0:
			mapped := MappedProduct{ID: product.ID, Name: product.Name, Privileges: []PrivilegeRef{}}
			for _, id := range ids {
				mapped.Privileges = append(mapped.Privileges, PrivilegeRef{ID: id, Name: names[id]})
				consuming.Add(id)
			}
			out.Map.Products = append(out.Map.Products, mapped)
		case err == nil:
			out.LeftOut = append(out.LeftOut, product)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case mstrapi.IsForbidden(err), mstrapi.IsAuth(err), errors.Is(err, mstrapi.ErrUnreachable):
			return nil, err
		case errors.As(err, &answer) && answer.Status == 400:
			refused = err
			refusals++
			out.LeftOut = append(out.LeftOut, product)
		default:
			if errors.As(err, &answer) && (answer.Status == 404 || answer.Status == 405) {
				absent++
			}
			out.Map.NotRead = append(out.Map.NotRead, product)
			out.Failed[product.Name] = err
		}
	}
	switch {
	case absent == len(mstrapi.LicenceProducts()):
		return nil, ErrNoLicenceRoute
	case len(out.Map.Products) == 0 && len(out.Map.NotRead) > 0:
		return nil, out.Failed[out.Map.NotRead[0].Name]
	case refusals == len(mstrapi.LicenceProducts()):
		return nil, fmt.Errorf("the server refuses every product: %w", refused)
	case len(out.Map.Products) == 0:
		return nil, fmt.Errorf("%s: %w", user.Label(), ErrNothingLearnt)
	}
	for _, p := range list {
		ref := PrivilegeRef{ID: p.ID, Name: p.Name}
		switch {
		case consuming.Has(p.ID):
		case held.Has(p.ID) && len(out.Map.NotRead) == 0:
			out.Map.NoProduct = append(out.Map.NoProduct, ref)
		default:
			out.Map.Unknown = append(out.Map.Unknown, UnknownPrivilege{ref, held.Has(p.ID)})
		}
	}
	return out, nil
}

// Doubt says why the map may not fit a server of the version; "" if it was learnt
// from the same one.
func (m *LicenceMap) Doubt(version string) string {
	was := m.Environment.IServerVersion
	switch {
	case version == "":
		return "the server does not tell its version, so whether the licence map fits it is not known"
	case was == "":
		return fmt.Sprintf("the licence map does not tell of which server version it was learnt, so whether it fits version %s is not known", clean.Quote(version))
	case was != version:
		return fmt.Sprintf("the licence map was learnt from server version %s and this is %s: learn a new one", clean.Quote(was), clean.Quote(version))
	}
	return ""
}

// Knows reports whether it is known which of the map's products the privilege
// consumes: any or none.
func (m *LicenceMap) Knows(id mstrapi.PrivilegeID) bool {
	of := func(ref PrivilegeRef) bool { return ref.ID == id }
	return slices.ContainsFunc(m.NoProduct, of) ||
		slices.ContainsFunc(m.Products, func(p MappedProduct) bool { return slices.ContainsFunc(p.Privileges, of) }) ||
		slices.ContainsFunc(m.Unknown, func(u UnknownPrivilege) bool { return u.Held && of(u.PrivilegeRef) })
}

// sets returns the privileges of each product, by its number, of all products
// together, and those of which it is known which of these products they consume.
func (m *LicenceMap) sets() (products map[int]Set, consuming, known Set) {
	products = make(map[int]Set, len(m.Products))
	for _, p := range m.Products {
		s := Set{}
		for _, ref := range p.Privileges {
			s.Add(ref.ID)
		}
		products[p.ID] = s
		consuming = consuming.Union(s)
	}
	known = consuming.Union(Set{})
	for _, ref := range m.NoProduct {
		known.Add(ref.ID)
	}
	for _, ref := range m.Unknown {
		if ref.Held {
			known.Add(ref.ID)
		}
	}
	return products, consuming, known
}
