// Package schema holds the JSON Schemas of the documents, one file a kind, and the AsyncAPI document of their topics.
package schema

import "embed"

// Files are the schemas: NAME.json for every document, and asyncapi.yaml.
//
//go:embed *.json asyncapi.yaml
var Files embed.FS
