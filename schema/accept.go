package schema

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// accepts reports whether v surely matches s. It is for the many right elements of a
// long list, which the library takes several times as long for; where it says false
// the library has the word. It knows the keywords of the schemas of this package, and
// leaves a value whose schema has others to the library.
func accepts(s *jsonschema.Schema, v any) bool {
	if s.Ref != nil && !accepts(s.Ref, v) {
		return false
	}
	if !plain(s) {
		return s.Validate(v) == nil
	}
	if len(s.Enum) > 0 && !oneOf(s.Enum, v) || len(s.Constant) > 0 && !oneOf(s.Constant, v) {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		return typed(s, "object") && acceptsObject(s, v)
	case []any:
		return typed(s, "array") && acceptsList(s, v)
	case string:
		return typed(s, "string") && utf8.RuneCountInString(v) >= s.MinLength && (s.Pattern == nil || s.Pattern.MatchString(v))
	case json.Number:
		n, ok := plainInteger(v)
		return ok && (typed(s, "integer") || typed(s, "number")) && (s.Minimum == nil || atLeast(n, s.Minimum)) && (s.Maximum == nil || atMost(n, s.Maximum))
	case bool:
		return typed(s, "boolean")
	case nil:
		return typed(s, "null")
	}
	return false
}

// plain reports whether s has no keyword that accepts does not know.
func plain(s *jsonschema.Schema) bool {
	return s.Format == "" && s.Always == nil && s.RecursiveRef == nil && s.DynamicRef == nil &&
		s.Not == nil && s.AllOf == nil && s.AnyOf == nil && s.OneOf == nil && s.If == nil &&
		s.MinProperties < 0 && s.MaxProperties < 0 && s.PropertyNames == nil && s.PatternProperties == nil &&
		(s.AdditionalProperties == nil || s.AdditionalProperties == false) &&
		s.Dependencies == nil && s.DependentRequired == nil && s.DependentSchemas == nil && s.UnevaluatedProperties == nil &&
		s.Items == nil && s.PrefixItems == nil && s.Contains == nil && s.UnevaluatedItems == nil &&
		s.MaxLength < 0 && s.ContentEncoding == "" && s.ContentMediaType == "" && s.ContentSchema == nil &&
		s.ExclusiveMinimum == nil && s.ExclusiveMaximum == nil && s.MultipleOf == nil && s.Extensions == nil
}

func typed(s *jsonschema.Schema, name string) bool {
	return len(s.Types) == 0 || slices.Contains(s.Types, name)
}

// oneOf reports whether v is one of the texts and truth values among the values.
func oneOf(values []any, v any) bool {
	for _, value := range values {
		switch value := value.(type) {
		case string:
			if text, ok := v.(string); ok && text == value {
				return true
			}
		case bool:
			if truth, ok := v.(bool); ok && truth == value {
				return true
			}
		}
	}
	return false
}

func acceptsObject(s *jsonschema.Schema, v map[string]any) bool {
	for _, key := range s.Required {
		if _, ok := v[key]; !ok {
			return false
		}
	}
	for key, value := range v {
		of, known := s.Properties[key]
		if !known && s.AdditionalProperties == false || known && !accepts(of, value) {
			return false
		}
	}
	return true
}

func acceptsList(s *jsonschema.Schema, v []any) bool {
	if len(v) < s.MinItems || s.MaxItems >= 0 && len(v) > s.MaxItems {
		return false
	}
	if s.UniqueItems && !ascending(v) {
		return false
	}
	if s.Items2020 != nil {
		for _, item := range v {
			if !accepts(s.Items2020, item) {
				return false
			}
		}
	}
	return true
}

// ascending reports whether v holds integers, each greater than the one before.
func ascending(v []any) bool {
	last := int64(math.MinInt64)
	for _, item := range v {
		number, _ := item.(json.Number)
		n, ok := plainInteger(number)
		if !ok || n <= last {
			return false
		}
		last = n
	}
	return true
}

// plainInteger returns the integer that n is written as.
func plainInteger(n json.Number) (int64, bool) {
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

func atLeast(n int64, least *big.Rat) bool {
	return least.IsInt() && least.Num().IsInt64() && n >= least.Num().Int64()
}

func atMost(n int64, most *big.Rat) bool {
	return most.IsInt() && most.Num().IsInt64() && n <= most.Num().Int64()
}
