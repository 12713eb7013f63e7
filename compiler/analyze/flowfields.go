package analyze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// flowFields are the fields of a flow line; id is the asker's own. objectFields are those of the objects in it: what is in
// headers and claims has the asker's names.
var (
	flowFields   = []string{"from", "to", "protocol", "port", "protocolNumber", "icmp", "http", "id"}
	objectFields = map[string][]string{"icmp": {"type", "code"}, "http": {"method", "path", "host", "headers", "claims"}}
)

// badField is an error about the first field of a line that no flow has, or that is there twice: it may be a misspelt one,
// and what it says, or what it said first, would be passed over. The line is known to be a JSON object. A header may come
// again: it is then one value.
func badField(line []byte) error {
	var room [16]string
	seen, opened := room[:0], make([]int, 0, 8) // the names in the objects around, and how many there were as each began
	var parents [2]string
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '{', '[':
			opened = append(opened, len(seen))
		case '}', ']':
			seen, opened = seen[:opened[len(opened)-1]], opened[:len(opened)-1]
		case '"':
			first, depth := i, len(opened)
			for i++; line[i] != '"'; i++ {
				if line[i] == '\\' {
					i++
				}
			}
			rest := bytes.TrimLeft(line[i+1:], " \t\r\n")
			claims := parents == [2]string{"http", "claims"}
			if len(rest) == 0 || rest[0] != ':' || depth > 2 && !claims {
				continue // a value, or a name that is the asker's
			}
			name := fieldName(line[first : i+1])
			if depth > 2 {
				if slices.Contains(seen[opened[depth-1]:], name) {
					return fmt.Errorf("%q is given twice", name)
				}
				seen = append(seen, name)
				continue
			}
			known := flowFields
			if depth == 2 {
				known = objectFields[parents[0]]
				parents[1] = strings.ToLower(name)
			} else {
				parents = [2]string{strings.ToLower(name)}
			}
			switch {
			case known == nil || depth == 1 && slices.Contains(answerFields, name):
			case !isField(known, name):
				return noField(name, known)
			case isField(seen[opened[depth-1]:], name):
				return fmt.Errorf("%q is given twice", name)
			default:
				seen = append(seen, name)
			}
		}
	}
	return nil
}

// wrongType says what a field has to be, in the words of the input.
func wrongType(err *json.UnmarshalTypeError) error {
	want := map[reflect.Kind]string{reflect.String: "a string", reflect.Uint8: "a whole number from 0 to 255", reflect.Struct: "an object", reflect.Map: "an object"}[err.Type.Kind()]
	is, rest, number := strings.Cut(err.Value, " ")
	switch is {
	case "array":
		is = "a list"
	case "object":
		is = "an object"
	case "bool":
		is = "true or false"
	default:
		is = "a " + is
	}
	if number {
		is = "the number " + rest
	}
	switch err.Field { // of which the names are the asker's, and not in the error
	case "http.headers":
		return fmt.Errorf("http.headers must be an object of strings: there is %s", is)
	case "http.claims":
		return fmt.Errorf("http.claims must be an object with an object of claims for each provider: there is %s", is)
	}
	return fmt.Errorf("%s must be %s, not %s", err.Field, want, is)
}

// fieldName reads a field's name.
func fieldName(quoted []byte) string {
	var name string
	if bytes.IndexByte(quoted, '\\') < 0 || json.Unmarshal(quoted, &name) != nil {
		return string(quoted[1 : len(quoted)-1])
	}
	return name
}

// isField reports whether a name is one of some fields, as JSON is read: whatever the case.
func isField(fields []string, name string) bool {
	return slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, name) })
}

func noField(name string, known []string) error {
	if near := nearest(name, known); near != nil {
		return fmt.Errorf("%q is no field of a flow: did you mean %s?", name, orList(near))
	}
	return fmt.Errorf("%q is no field of a flow: it has %s", name, andList(known))
}
