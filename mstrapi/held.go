package mstrapi

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

const (
	// knownGroups bounds the groups that a decoder remembers, knownTexts the names
	// and ids that all decoders share.
	knownGroups = 1 << 12
	knownTexts  = 1 << 16
	// longestKnown is the longest text worth sharing, in bytes.
	longestKnown = 512

	// A decoder remembers the text of the latest entry of each privilege and of the
	// objects that describe privileges, by number, and of the sources it has met
	// last.
	memoPrivileges = 1 << 10
	memoSources    = 16
	longestMemo    = 1 << 10
)

// decoders hands out decoders of privilege answers, which share the names and
// ids of groups: the same few groups stand in every answer.
type decoders struct {
	pool sync.Pool // of *heldDecoder

	mu    sync.Mutex
	texts map[string]string
}

// share returns text, and the same memory for equal texts.
func (ds *decoders) share(text string) string {
	if len(text) > longestKnown {
		return text
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if known, ok := ds.texts[text]; ok {
		return known
	}
	if ds.texts == nil || len(ds.texts) >= knownTexts {
		ds.texts = make(map[string]string)
	}
	ds.texts[text] = text
	return text
}

// held decodes the answer of GET /api/users/{id}/privileges or its like for
// groups. Privileges of another level than the one asked for are left out: a
// server may ignore the parameter. Those whose level the answer does not tell are
// there, without one.
//
// The answer is in memory of its own or, with a buffer, in the buffer's.
func (ds *decoders) held(body []byte, level Level, buf *HeldBuffer) ([]Held, error) {
	d, ok := ds.pool.Get().(*heldDecoder)
	if !ok {
		d = &heldDecoder{shared: ds, known: make(map[string]ObjectRef), privileges: make(map[PrivilegeID]privilegeMemo)}
	}
	defer ds.pool.Put(d)
	return d.decode(body, level, buf)
}

// heldDecoder decodes one answer after the other; it keeps its memory, and what
// it has met: the same privileges, groups and sources stand in most answers, and
// a JSON object that begins with the bytes of another, whole one is equal to it,
// which is faster to see than to read it again.
type heldDecoder struct {
	scanner
	shared *decoders
	known  map[string]ObjectRef // by the id as it stands in the document

	memoLevel  Level // of entries
	entries    [memoPrivileges]*entryMemo
	privileges map[PrivilegeID]privilegeMemo
	recent     [memoSources]sourceMemo
	oldest     int // of recent, the next to be replaced

	own    HeldBuffer // where the caller has none
	held   []Held
	ends   []int       // of each held's groups in groups
	groups []ObjectRef // of all held, one after the other
	seen   [int(MaxPrivilegeID)/64 + 1]uint64
	twice  bool // a privilege stands in the document more than once
}

// An entryMemo is the text of an entry, a privilege with its sources, and what it
// means where its level is asked for.
type entryMemo struct {
	text   []byte
	held   Held
	groups []ObjectRef
}

// A privilegeMemo is the text of an object that describes a privilege, and its
// level.
type privilegeMemo struct {
	text  []byte
	level Level
}

// A sourceMemo is the text of a source and what it means. An empty text is none.
type sourceMemo struct {
	text   []byte
	source source
}

// A source is why a privilege is held: exactly one of its fields is set.
type source struct {
	direct, other bool
	group         ObjectRef
	role          *RoleRef
}

// decode returns what body says, in memory of its own or the buffer's.
func (d *heldDecoder) decode(body []byte, level Level, buf *HeldBuffer) ([]Held, error) {
	d.reset(body)
	memory := buf
	if buf == nil {
		memory = &d.own
	}
	d.held, d.ends, d.groups, d.twice = memory.held[:0], d.ends[:0], memory.groups[:0], false
	defer func() {
		for i := range d.held {
			d.seen[d.held[i].ID/64] = 0
		}
		memory.held, memory.groups = d.held, d.groups
		d.b, d.held, d.groups = nil, nil, nil
	}()
	if d.memoLevel != level {
		d.memoLevel = level
		clear(d.entries[:])
	}
	d.document(level)
	if err := d.end(); err != nil {
		return nil, err
	}
	if buf == nil {
		return d.result(append(make([]Held, 0, len(d.held)), d.held...), slices.Clone(d.groups)), nil
	}
	return d.result(d.held, d.groups), nil
}

// HeldBuffer is memory that [Reader.HeldIn] uses again and again. The zero value
// is ready to use; it is not for concurrent use.
type HeldBuffer struct {
	held   []Held
	groups []ObjectRef
}

// result gives the decoded privileges their groups, which share one array.
func (d *heldDecoder) result(held []Held, groups []ObjectRef) []Held {
	from := 0
	for i, end := range d.ends {
		if end > from {
			held[i].Groups = groups[from:end:end]
		}
		from = end
	}
	if d.twice {
		held = mergeHeld(held)
	}
	return held
}

// mergeHeld makes one entry of those with the same number, where the first
// stands.
func mergeHeld(held []Held) []Held {
	at := make(map[PrivilegeID]int, len(held))
	merged := held[:0:0]
	for _, h := range held {
		i, ok := at[h.ID]
		if !ok {
			at[h.ID] = len(merged)
			merged = append(merged, h)
			continue
		}
		m := &merged[i]
		m.Direct = m.Direct || h.Direct
		m.Other = m.Other || h.Other
		if m.Level == "" {
			m.Level = h.Level
		}
		m.Groups = dedupe(append(m.Groups[:len(m.Groups):len(m.Groups)], h.Groups...))
		for _, r := range h.Roles {
			m.Roles = addRole(m.Roles, r)
		}
	}
	return merged
}

// dedupe returns groups, in place, without repetitions of an id.
func dedupe(groups []ObjectRef) []ObjectRef {
	const few = 16
	kept := groups[:0]
	var seen map[ObjectID]bool
	if len(groups) > few {
		seen = make(map[ObjectID]bool, len(groups))
	}
next:
	for _, g := range groups {
		if seen != nil {
			if seen[g.ID] {
				continue
			}
			seen[g.ID] = true
		} else {
			for _, k := range kept {
				if k.ID == g.ID {
					continue next
				}
			}
		}
		kept = append(kept, g)
	}
	return kept
}

// document consumes {"privileges":[…]}.
func (d *heldDecoder) document(level Level) {
	var seen uint
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "privileges":
			if !d.once(&seen, 0) {
				return
			}
			item := true
			d.open('[')
			for d.more(&item, ']') {
				d.entry(level)
			}
		default:
			d.skip()
		}
	}
	if seen == 0 {
		d.fail(`no "privileges"`)
	}
}

// entry consumes {"privilege":{…},"sources":[…]}.
func (d *heldDecoder) entry(level Level) {
	var (
		h    Held
		seen uint
		from = len(d.groups)
	)
	d.peek()
	rest := d.b[d.i:]
	if memo := d.entries[glimpseEntryID(rest)%memoPrivileges]; memo != nil && bytes.HasPrefix(rest, memo.text) {
		d.i += len(memo.text)
		d.groups = append(d.groups, memo.groups...)
		d.keep(memo.held)
		return
	}
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "privilege":
			if d.once(&seen, 0) {
				h.ID, h.Level = d.privilege()
			}
		case "sources":
			if d.once(&seen, 1) {
				d.sources(&h)
			}
		default:
			d.skip()
		}
	}
	if d.err != nil {
		return
	}
	if seen != 3 {
		d.fail(`an entry without "privilege" or "sources"`)
		return
	}
	if level != LevelAll && h.Level != "" && h.Level != level {
		d.groups = d.groups[:from]
		return
	}
	d.groups = d.groups[:from+len(dedupe(d.groups[from:]))]
	if text := rest[:len(rest)-len(d.b[d.i:])]; len(text) <= longestMemo && glimpseEntryID(text) == h.ID {
		memo := &d.entries[h.ID%memoPrivileges]
		if *memo == nil {
			*memo = new(entryMemo)
		}
		(*memo).text = append((*memo).text[:0], text...)
		(*memo).groups = append((*memo).groups[:0], d.groups[from:]...)
		(*memo).held = h
	}
	d.keep(h)
}

// keep adds a privilege, whose groups are the last in d.groups.
func (d *heldDecoder) keep(h Held) {
	if word, bit := h.ID/64, uint64(1)<<(h.ID%64); d.seen[word]&bit != 0 {
		d.twice = true
	} else {
		d.seen[word] |= bit
	}
	d.held = append(d.held, h)
	d.ends = append(d.ends, len(d.groups))
}

// privilege consumes {"id":"2","level":"server",…}.
func (d *heldDecoder) privilege() (id PrivilegeID, level Level) {
	d.peek()
	rest := d.b[d.i:]
	if memo := d.privileges[glimpseID(rest)]; len(memo.text) > 0 && bytes.HasPrefix(rest, memo.text) {
		d.i += len(memo.text)
		return glimpseID(rest), memo.level
	}
	var seen uint
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "id":
			if d.once(&seen, 0) {
				id = d.privilegeID()
			}
		case "level":
			if d.once(&seen, 1) && !d.null() {
				level = d.level()
			}
		default:
			d.skip()
		}
	}
	if id == 0 {
		d.fail("a privilege without a number")
	}
	if text := rest[:len(rest)-len(d.b[d.i:])]; d.err == nil && len(text) <= longestMemo && glimpseID(text) == id {
		if len(d.privileges) >= memoPrivileges {
			clear(d.privileges)
		}
		d.privileges[id] = privilegeMemo{bytes.Clone(text), level}
	}
	return id, level
}

// glimpseEntryID is glimpseID for an entry that begins with its privilege.
func glimpseEntryID(object []byte) PrivilegeID {
	const start = `{"privilege":`
	if len(object) < len(start) || string(object[:len(start)]) != start {
		return 0
	}
	return glimpseID(object[len(start):])
}

// glimpseID returns the number of a privilege whose object begins with it, as
// the server's do, and 0 for any other text.
func glimpseID(object []byte) PrivilegeID {
	const start, longest = `{"id":"`, 5
	if len(object) < len(start)+longest+1 || string(object[:len(start)]) != start {
		return 0
	}
	digits := object[len(start) : len(start)+longest+1]
	id, _ := parsePrivilegeID(digits[:max(bytes.IndexByte(digits, '"'), 0)])
	return id
}

// level consumes the name of a level; an unknown one is none.
func (d *heldDecoder) level() Level {
	text := d.str().bytes()
	switch string(text) {
	case string(LevelServer):
		return LevelServer
	case string(LevelProject):
		return LevelProject
	}
	for _, level := range []Level{LevelServer, LevelProject} {
		if strings.EqualFold(string(text), string(level)) {
			return level
		}
	}
	return ""
}

// sources consumes [{"direct":true},{"direct":false,"group":{…}}]. A privilege
// that is held for no reason is not understood.
func (d *heldDecoder) sources(h *Held) {
	n := 0
	first := true
	d.open('[')
	for d.more(&first, ']') {
		d.source(h)
		n++
	}
	if n == 0 {
		d.fail("a privilege without sources")
	}
}

// source consumes one source.
func (d *heldDecoder) source(h *Held) {
	d.peek()
	rest := d.b[d.i:]
	for i := range d.recent {
		if memo := &d.recent[i]; len(memo.text) > 0 && bytes.HasPrefix(rest, memo.text) {
			d.i += len(memo.text)
			d.add(h, memo.source)
			return
		}
	}
	src := d.readSource()
	if d.err != nil {
		return
	}
	d.add(h, src)
	if text := rest[:len(rest)-len(d.b[d.i:])]; len(text) <= longestMemo {
		memo := &d.recent[d.oldest]
		memo.text, memo.source = append(memo.text[:0], text...), src
		d.oldest = (d.oldest + 1) % len(d.recent)
	}
}

// add adds a source to h, whose groups are the last in d.groups.
func (d *heldDecoder) add(h *Held, src source) {
	switch {
	case src.direct:
		h.Direct = true
	case src.other:
		h.Other = true
	case src.role != nil:
		h.Roles = addRole(h.Roles, *src.role)
	default:
		d.groups = append(d.groups, src.group)
	}
}

// readSource consumes one source that is not remembered.
func (d *heldDecoder) readSource() source {
	var (
		seen          uint
		src           source
		role, project ObjectRef
		hasGroup      bool
		hasRole       bool
	)
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "direct":
			if d.once(&seen, 0) && !d.null() {
				src.direct = d.boolean()
			}
		case "group":
			if d.once(&seen, 1) && !d.null() {
				src.group, hasGroup = d.group(), true
			}
		case "securityRole":
			if d.once(&seen, 2) && !d.null() {
				role, hasRole = d.object(), true
			}
		case "project":
			if d.once(&seen, 3) && !d.null() {
				project = d.object()
			}
		default:
			d.skip()
		}
	}
	switch {
	case src.direct:
		return source{direct: true}
	case hasRole:
		// Even if a group is named as well: it hands the role down.
		return source{role: &RoleRef{Role: role, Project: project}}
	}
	src.other = !hasGroup
	return src
}

// object consumes {"name":"…","id":"…"} of something of which nothing is
// decided: an id that is none is left out.
func (d *heldDecoder) object() ObjectRef {
	var (
		seen uint
		ref  ObjectRef
	)
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "id":
			if d.once(&seen, 0) && !d.null() {
				ref.ID, _ = parseObjectID(d.str().bytes())
			}
		case "name":
			if d.once(&seen, 1) && !d.null() {
				ref.Name = d.str().String()
			}
		default:
			d.skip()
		}
	}
	return ref
}

// addRole returns roles, which others may hold, with r.
func addRole(roles []RoleRef, r RoleRef) []RoleRef {
	if slices.Contains(roles, r) {
		return roles
	}
	return append(slices.Clip(roles), r)
}

// group consumes {"name":"…","id":"…"}.
func (d *heldDecoder) group() ObjectRef {
	var (
		seen     uint
		id, name rawString
	)
	first := true
	d.open('{')
	for d.more(&first, '}') {
		switch string(d.key()) {
		case "id":
			if d.once(&seen, 0) {
				id = d.str()
			}
		case "name":
			if d.once(&seen, 1) && !d.null() {
				name = d.str()
			}
		default:
			d.skip()
		}
	}
	if d.err != nil {
		return ObjectRef{}
	}
	known, ok := d.known[string(id.plain())]
	if ok && !name.escaped && string(name.plain()) == known.Name {
		return known
	}
	objectID, valid := parseObjectID(id.bytes())
	if !valid {
		d.fail("a group without a valid id")
		return ObjectRef{}
	}
	ref := ObjectRef{ID: ObjectID(d.shared.share(string(objectID))), Name: d.shared.share(name.String())}
	if len(d.known) >= knownGroups {
		clear(d.known)
	}
	d.known[string(id.plain())] = ref
	return ref
}
