package analyze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// flowFields are the fields of a flow line; id is the asker's own. objectFields are those of the objects in it: what is in
// headers and claims has the asker's names.
var (
	flowFields   = []string{"from", "to", "protocol", "port", "protocolNumber", "icmp", "http", "id"}
	objectFields = map[string][]string{"icmp": {"type", "code"}, "http": {"method", "path", "host", "headers", "claims"}}
)

// strayField is an error about the first field of a line that no flow has: it may be a misspelt one, and what it says would
// be passed over. The line is known to be a JSON object.
func strayField(line []byte) error {
	depth, parent := 0, ""
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			first := i
			for i++; line[i] != '"'; i++ {
				if line[i] == '\\' {
					i++
				}
			}
			if rest := bytes.TrimLeft(line[i+1:], " \t\r\n"); len(rest) == 0 || rest[0] != ':' || depth > 2 {
				continue // a value, or a name that is the asker's
			}
			name := fieldName(line[first : i+1])
			known := flowFields
			if depth == 2 {
				known = objectFields[parent]
			} else {
				parent = strings.ToLower(name)
			}
			if known != nil && !isField(known, name) && (depth == 2 || !slices.Contains(answerFields, name)) {
				return noField(name, known)
			}
		}
	}
	return nil
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
