package policy

import (
	"bytes"
	"runtime"
	"slices"

	"gopkg.in/yaml.v3"

	"privsync/panics"
)

// chunkSize is about how many bytes of principals are in memory as nodes at
// once, per processor. A node costs some twenty times its text.
const chunkSize = 256 << 10

// layout is where a file's principals stand, if they stand in a plain block
// list at the left-most key: the rest of the file with blank lines in their
// place, and the list cut between items.
type layout struct {
	skeleton []byte
	keyLine  int // of principals:
	chunks   []chunk
}

type chunk struct {
	data  []byte
	lines int // that come before it in the file
}

// cutPrincipals looks only at line beginnings. That is sound because its result
// is believed only if the skeleton has an empty principals key at keyLine and
// every chunk parses as a whole list: a quotation, a flow collection or a
// comment that spans a cut would leave a part that does not.
func cutPrincipals(data []byte, size int) (layout, bool) {
	key := bytes.Index(data, []byte("\nprincipals:"))
	if key < 0 {
		return layout{}, false
	}
	for _, otherBreak := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(data, []byte(otherBreak)) {
			return layout{}, false
		}
	}
	key++
	start := key + bytes.IndexByte(data[key:], '\n') + 1
	if start == key || !isBlank(data[key+len("principals:"):start]) {
		return layout{}, false
	}
	l := layout{keyLine: bytes.Count(data[:key], []byte("\n")) + 1}
	indent := -1
	from, end, lines, line := start, len(data), l.keyLine, l.keyLine
	for at := start; at < len(data); line++ {
		next := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		text := data[at:next]
		content := bytes.TrimLeft(text, " ")
		depth := len(text) - len(content)
		item := isItem(content)
		first := indent < 0 && item
		if first {
			indent = depth
		}
		switch {
		case first || isBlank(content):
		case indent < 0 || content[0] == '\t':
			return layout{}, false
		case depth == indent && item:
			if at-from >= size {
				l.chunks = append(l.chunks, chunk{data[from:at], lines})
				from, lines = at, line
			}
		case depth > 0 && depth <= indent:
			return layout{}, false
		case depth <= indent:
			end = at
		}
		if end < len(data) {
			break
		}
		at = next
	}
	if indent < 0 {
		return layout{}, false
	}
	l.chunks = append(l.chunks, chunk{data[from:end], lines})
	blank := bytes.Repeat([]byte("\n"), bytes.Count(data[start:end], []byte("\n")))
	l.skeleton = slices.Concat(data[:start], blank, data[end:])
	return l, true
}

func isItem(content []byte) bool {
	return len(content) > 1 && content[0] == '-' && (content[1] == ' ' || content[1] == '\n')
}

// isBlank reports whether a line has nothing but spaces and a comment.
func isBlank(line []byte) bool {
	line = bytes.TrimLeft(line, " ")
	return len(line) == 0 || line[0] == '\n' || line[0] == '#'
}

// parse reads the file. A large one is read in chunks, so that its nodes are
// never all in memory; if it cannot be cut, or is not valid as cut, it is read
// as a whole.
func (p *parser) parse(data []byte) *document {
	// Where more is wrong than is kept, what is wrong with another file is not told.
	if p.out.dropped > 0 || !p.readable(data) {
		return unread()
	}
	if len(data) >= 2*p.chunkSize {
		out, aliased := p.out, p.account.aliased
		p.out = &collector{}
		d, ok := p.parseChunks(plainBreaks(data))
		if ok {
			out.join(p.out)
			p.out = out
			return d
		}
		// The aliases that were expanded are expanded again; what was read counts.
		a := p.account
		a.aliased = aliased
		*p = *newParser(p.file, out)
		p.account = a
	}
	if !p.affordable(data) {
		return unread()
	}
	root, extra, err := decode(data)
	return p.parsed(data, root, extra, err)
}

func (p *parser) parsed(data []byte, root, extra *yaml.Node, err error) *document {
	switch {
	case err != nil:
		p.syntaxProblem(data, err)
	case extra != nil:
		p.problem(extra, "put each policy into a file of its own and give them all with -f", "a file holds one document, a second one begins here")
	case root == nil || isNull(root) && root.Value == "":
		p.out.add(Position{p.file, 1, 1}, "", "the file is empty")
	default:
		return p.document(root, nil)
	}
	return unread()
}

func (p *parser) parseChunks(data []byte) (*document, bool) {
	l, ok := cutPrincipals(data, p.chunkSize)
	if !ok || len(l.chunks) < 2 {
		return nil, false
	}
	if !p.affordable(l.skeleton) {
		return unread(), true
	}
	for _, c := range l.chunks {
		if n := valuesIn(c.data); n > maxTree {
			return nil, false
		} else if !p.spendValues(n) {
			return unread(), true
		}
	}
	root, extra, err := decode(l.skeleton)
	if err != nil || extra != nil || root == nil || root.Kind != yaml.MappingNode {
		return nil, false
	}
	key := emptyKey(root, l.keyLine)
	if key == nil {
		return nil, false
	}
	d := p.document(root, key)
	for list := range decodeChunks(l.chunks) {
		if list.items == nil {
			return p.mistaken(list, len(data))
		}
		p.lineBase = list.lines
		for _, item := range list.items.Content {
			item, ok := p.resolve(item)
			if ok {
				p.entry(d, item)
			}
		}
		p.lineBase = 0
		if p.account.values < 0 {
			return unread(), true
		}
		// Anchors belong to one chunk, and so do the nodes they keep alive.
		clear(p.sizes)
	}
	return d, true
}

// emptyKey returns the principals key at the line, if its value is nothing: not
// even a tag or an anchor further down.
func emptyKey(root *yaml.Node, line int) *yaml.Node {
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		if k.Value == principalsKey && k.Line == line && isNull(v) && v.Anchor == "" &&
			v.Line == line && v.Column == k.Column+len("principals:") {
			return k
		}
	}
	return nil
}

// mistaken is how reading ends at a chunk that is not valid by itself: the file is
// read again as a whole, which says best what is wrong, unless it is too large for
// that.
func (p *parser) mistaken(list decodedChunk, size int) (*document, bool) {
	if list.err == nil || size < maxTree {
		return nil, false
	}
	at := &collector{}
	q := newParser(p.file, at)
	q.syntaxProblem(list.data, list.err)
	for _, problem := range at.list {
		problem.Pos.Line += list.lines
		p.out.add(problem.Pos, problem.Hint, problem.Message)
	}
	return unread(), true
}

type decodedChunk struct {
	items *yaml.Node // nil: not a list
	chunk
	err error // why it is no YAML
}

// decodeChunks yields the lists in order, parsed ahead on all processors but
// never further ahead than there are processors.
func decodeChunks(chunks []chunk) func(yield func(decodedChunk) bool) {
	return func(yield func(decodedChunk) bool) {
		ahead := runtime.GOMAXPROCS(0)
		results := make([]chan decodedChunk, len(chunks))
		start := func(i int) {
			results[i] = make(chan decodedChunk, 1)
			go func() {
				var root, extra *yaml.Node
				err := panics.Catch(func() (err error) {
					root, extra, err = decode(chunks[i].data)
					return err
				})
				if err != nil || extra != nil || root == nil || root.Kind != yaml.SequenceNode || root.Style != 0 || root.Anchor != "" {
					root = nil
				}
				results[i] <- decodedChunk{root, chunks[i], err}
			}()
		}
		for i := range min(ahead, len(chunks)) {
			start(i)
		}
		for i := range chunks {
			list := <-results[i]
			panics.Again(list.err)
			results[i] = nil
			if next := i + ahead; next < len(chunks) {
				start(next)
			}
			if !yield(list) {
				return
			}
		}
	}
}
