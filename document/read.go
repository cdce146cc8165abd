package document

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
)

// Read reads the one document in r into doc, a pointer to a struct, and returns the
// digest of what stands there, known or not (see [Digest]). More than limit bytes are an
// error, and so is whatever could be read in two ways: a member that stands twice, text
// that is no UTF-8, anything after the document. The digest is empty then.
//
// What doc has no place for, in exactly these letters, or what does not fit there, is an
// error, too; but the digest comes with it, so that the caller can tell a document that
// was edited. Visit gets a pointer to each member, and to each element of a list of
// objects, once it is read; it may be nil.
func Read(r io.Reader, limit int64, doc any, visit func(element any)) (digest string, err error) {
	return read(r, limit, doc, visit, true)
}

// ReadPart is [Read] into a doc that has a place for some of the members only.
func ReadPart(r io.Reader, limit int64, doc any) (digest string, err error) {
	return read(r, limit, doc, nil, false)
}

func read(r io.Reader, limit int64, doc any, visit func(any), strict bool) (string, error) {
	to := reading{places: make(map[string]reflect.Value), visit: visit, strict: strict}
	for f, value := range reflect.ValueOf(doc).Elem().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			to.places[name] = value
		}
	}
	if err := Walk(r, limit, to.member); err != nil {
		return "", err
	}
	is, err := digest(to.parts)
	return is, errors.Join(err, to.misfit)
}

// reading takes up a document member by member.
type reading struct {
	places map[string]reflect.Value
	visit  func(any)
	strict bool
	parts  []part
	misfit error // the first
}

// member reads one member: a list of objects, or one that nobody asked for, element by
// element, for such a list may be most of the document.
func (r *reading) member(name string, dec *jsontext.Decoder) error {
	keep := new(store)
	r.parts = append(r.parts, part{name, keep.write})
	place, known := r.places[name]
	rows := known && place.Kind() == reflect.Slice && place.Type().Elem().Kind() == reflect.Struct
	list := dec.PeekKind() == '['
	into := func() (none reflect.Value) { return none }
	switch {
	case !known && r.strict:
		r.misfits(fmt.Errorf("unknown member %s", clean.Quote(clean.Clip(name, 80))))
	case rows && !list:
		r.misfits(fmt.Errorf("%s is not a list", name))
	case rows:
		place.Set(reflect.MakeSlice(place.Type(), 0, 0))
		into = func() reflect.Value {
			place.Set(reflect.Append(place, reflect.Zero(place.Type().Elem())))
			return place.Index(place.Len() - 1)
		}
	case known:
		into = func() reflect.Value { return place }
		list = false
	}
	if !list {
		return r.value(dec, keep, into())
	}
	sep := "["
	err := Each(dec, func() error {
		keep.add([]byte(sep))
		sep = ","
		return r.value(dec, keep, into())
	})
	keep.add([]byte(map[string]string{"[": "[]", ",": "]"}[sep]))
	return err
}

// value reads the next value, keeps its canonical form, and puts it into its place, if
// it has one.
func (r *reading) value(dec *jsontext.Decoder, keep *store, place reflect.Value) error {
	text, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if err := keep.canonical(text); err != nil || !place.IsValid() {
		return err
	}
	into := place.Addr().Interface()
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(r.strict)); err != nil {
		r.misfits(explain(err, dec.InputOffset()-int64(len(text)), dec.StackPointer()))
	} else if r.visit != nil {
		r.visit(into)
	}
	return nil
}

func (r *reading) misfits(err error) {
	if r.misfit == nil {
		r.misfit = err
	}
}

// Unmarshal reads a small document, as strictly as [Read].
func Unmarshal(text []byte, into any) error {
	err := json.Unmarshal(text, into, json.RejectUnknownMembers(true))
	if err != nil {
		err = explain(err, 0, "")
	}
	return err
}

// store keeps text in pieces: one that grows would be in memory twice.
type store struct {
	pieces  [][]byte
	scratch jsontext.Value
}

// canonical keeps the canonical form of the value.
func (s *store) canonical(text jsontext.Value) error {
	s.scratch = append(s.scratch[:0], text...)
	err := s.scratch.Canonicalize()
	s.add(s.scratch)
	return err
}

func (s *store) add(text []byte) {
	const piece = 1 << 20
	last := len(s.pieces) - 1
	if last < 0 || len(s.pieces[last])+len(text) > max(piece, cap(s.pieces[last])) {
		s.pieces = append(s.pieces, make([]byte, 0, max(min(last+1, 1)*piece, len(text))))
		last++
	}
	s.pieces[last] = append(s.pieces[last], text...)
}

func (s *store) write(w io.Writer) error {
	for _, p := range s.pieces {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// ErrStop is what the function that [Walk] calls returns when it has seen enough.
var ErrStop = errors.New("seen enough")

// Walk calls visit for each member of the one document in r, with dec in front of its
// value, which visit reads. It returns what is wrong with the document, in plain words;
// more than limit bytes are. After [ErrStop] it returns nil, whatever else stands there.
func Walk(r io.Reader, limit int64, visit func(name string, dec *jsontext.Decoder) error) error {
	in := &bounded{r: r, left: limit}
	dec := jsontext.NewDecoder(in)
	err := walk(dec, visit)
	switch {
	case errors.Is(err, ErrStop):
		return nil
	case in.left < 0:
		return fmt.Errorf("larger than %d bytes", limit)
	case in.err != nil:
		return in.err
	case err != nil:
		return explain(err, 0, "")
	}
	return nil
}

func walk(dec *jsontext.Decoder, visit func(name string, dec *jsontext.Decoder) error) error {
	kind := dec.PeekKind()
	if _, err := dec.ReadToken(); err == io.EOF {
		return errors.New("it is empty")
	} else if err != nil && kind == '{' {
		return err
	}
	if kind != '{' {
		return errors.New("it is not a JSON object")
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := visit(name.String(), dec); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return errors.New("there is text after the document")
	}
	return nil
}

// Each calls f for each element of the list that dec is in front of; f reads it.
func Each(dec *jsontext.Decoder, f func() error) error {
	if t, err := dec.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '[' {
		return fmt.Errorf("%s is not a list", dec.StackPointer().LastToken())
	}
	for dec.PeekKind() != ']' {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// bounded reads no more than there may be, and keeps the error of r.
type bounded struct {
	r    io.Reader
	left int64 // negative once there was more
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:max(b.left, 0)+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, io.ErrShortBuffer
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// explain says in plain words what is wrong with a document, and where: offset and at
// are the place of the text that err is about.
func explain(err error, offset int64, at jsontext.Pointer) error {
	syntax, broken := errors.AsType[*jsontext.SyntacticError](err)
	misfit, unfit := errors.AsType[*json.SemanticError](err)
	member := func() string { return clean.Quote(clean.Clip(at.LastToken(), 80)) }
	why := ""
	switch {
	case unfit:
		offset, at = offset+misfit.ByteOffset, at+misfit.JSONPointer
		switch {
		case errors.Is(misfit.Err, json.ErrUnknownName):
			why, at = "unknown member "+member(), at.Parent()
		case misfit.Err != nil:
			why = misfit.Err.Error()
		default:
			why = map[jsontext.Kind]string{'"': "text", '0': "a number", '{': "an object", '[': "a list", 'n': "null"}[misfit.JSONKind]
			if why == "" {
				why = "true or false"
			}
			why += " does not fit here"
		}
	case broken:
		offset, at = offset+syntax.ByteOffset, at+syntax.JSONPointer
		why = syntax.Err.Error()
		if errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
			why, at = "the member "+member()+" stands twice", at.Parent()
		}
	default:
		return err
	}
	if at != "" {
		why += ", in " + clean.Clip(strings.TrimPrefix(string(at), "/"), 120)
	}
	return errors.New(clean.Text(fmt.Sprintf("%s, at byte %d", why, offset)))
}
