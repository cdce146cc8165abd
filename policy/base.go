package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// baseContent gathers what a file says whatever the environment: everything but its
// overlays, its environment section and metadata.environment. Comments and the way in
// which values are laid out do not count, aliases for what they stand for. The zero
// value holds nothing.
type baseContent struct {
	sections map[string]string // digests by key; nil: none
	entries  hash.Hash         // of the principals, in their order; nil: none
	scratch  []byte
}

// root takes up the sections of a root that is valid, but for the principals.
func (b *baseContent) root(p *parser, root *yaml.Node) {
	if p.aliasesEnded {
		return // what they stand for is without bounds, and the policy is refused already
	}
	if root.Kind == yaml.AliasNode {
		root = root.Alias
	}
	b.sections = make(map[string]string)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, skip := root.Content[i].Value, ""
		switch key {
		case "apiVersion", "kind", "environment", "overlays", principalsKey:
			continue
		case "metadata":
			skip = "environment"
		}
		b.scratch = appendContent(b.scratch[:0], root.Content[i+1], skip)
		if string(b.scratch) == "{}" {
			continue
		}
		sum := sha256.Sum256(b.scratch)
		b.sections[key] = hex.EncodeToString(sum[:])
	}
}

// entry takes up an item of principals.
func (b *baseContent) entry(p *parser, n *yaml.Node) {
	if p.aliasesEnded {
		return
	}
	if b.entries == nil {
		b.entries = sha256.New()
	}
	b.scratch = appendContent(b.scratch[:0], n, "")
	b.entries.Write(b.scratch) // a hash takes everything
}

// digest returns the digest of what was taken up, or "" for nothing.
func (b *baseContent) digest() string {
	var lines []string
	for key, digest := range b.sections {
		lines = append(lines, key+" "+digest)
	}
	if b.entries != nil {
		lines = append(lines, principalsKey+" "+hex.EncodeToString(b.entries.Sum(nil)))
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// baseDigest is the digest of the documents without what differs by environment,
// whatever their names and their order.
func baseDigest(docs []*document) string {
	var digests []string
	for _, d := range docs {
		if digest := d.base.digest(); digest != "" {
			digests = append(digests, digest)
		}
	}
	slices.Sort(digests)
	h := sha256.New()
	fmt.Fprintf(h, "privsync/policy-base/v1\n%s\n", strings.Join(digests, "\n"))
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// appendContent writes n so that two values are written alike only if they say the
// same; of a mapping without the key skip.
func appendContent(b []byte, n *yaml.Node, skip string) []byte {
	switch n.Kind {
	case yaml.AliasNode:
		return appendContent(b, n.Alias, skip)
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if skip != "" && n.Content[i].Value == skip {
				continue
			}
			b = appendContent(b, n.Content[i], "")
			b = appendContent(b, n.Content[i+1], "")
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for _, c := range n.Content {
			b = appendContent(b, c, "")
		}
		return append(b, ']')
	}
	// Quoted or not, it is the same name or number.
	b = strconv.AppendInt(b, int64(len(n.Value)), 10)
	b = append(b, ':')
	return append(b, n.Value...)
}
