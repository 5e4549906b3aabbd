// Package api holds the description of the fleet's JSON, for programs that are written against it.
package api

import _ "embed"

//go:embed openapi.json
var openapi []byte

// OpenAPI is the description: OpenAPI 3.1, JSON.
func OpenAPI() []byte { return openapi }
