// Package schematest holds documents against the schemas; only tests import it.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"

	"posdx/agent/report/schema"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const base = "https://posdx.example/schema/v1/"

// Check validates a value, marshalled as it would leave the agent, against the schema of a kind of document.
func Check(kind string, doc any) error {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	names, err := fs.Glob(schema.Files, "*.json")
	if err != nil {
		return err
	}
	for _, n := range names {
		b, err := schema.Files.ReadFile(n)
		if err != nil {
			return err
		}
		s, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return fmt.Errorf("schema %s: %w", n, err)
		}
		if err := c.AddResource(base+n, s); err != nil {
			return fmt.Errorf("schema %s: %w", n, err)
		}
	}
	s, err := c.Compile(base + kind + ".json")
	if err != nil {
		return fmt.Errorf("schema %s: %w", kind, err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
