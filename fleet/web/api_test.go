package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"posdx/fleet/access"
	"posdx/fleet/api"
	"posdx/fleet/enroll"
)

// closed makes every object of a schema one that has no members but those it names, so that a test sees what the
// description forgot.
func closeObjects(v any) {
	switch x := v.(type) {
	case map[string]any:
		if _, ok := x["properties"]; ok && x["additionalProperties"] == nil {
			x["additionalProperties"] = false
		}
		for _, e := range x {
			closeObjects(e)
		}
	case []any:
		for _, e := range x {
			closeObjects(e)
		}
	}
}

// Every address of the JSON stands in its description and the other way round, and what is answered is what is
// described, member by member.
func TestJSONIsAsDescribed(t *testing.T) {
	h := closed(t)
	h.site.Enroll = &enroll.Authority{Store: h.db, Dir: t.TempDir(), Policy: enroll.Default}
	if err := h.site.Enroll.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler, err := h.site.Handler()
	if err != nil {
		t.Fatal(err)
	}
	h.Config.Handler = handler
	diagnosis, incident := fill(t, h, "shop", "t1", false)
	put(t, h.db, "pos/v1/shop/t1/reply/ping", []byte(`{"id":"1","result":"done"}`))
	token, _, err := h.keeper.MakeToken(t.Context(), root, "script", access.Admin, access.Read, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]map[string]any{} // by "GET /path"
	for path, v := range doc.(map[string]any)["paths"].(map[string]any) {
		for method, op := range v.(map[string]any) {
			described[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	client := h.browser(t, "")
	for _, pattern := range h.site.routes {
		_, path, _ := strings.Cut(pattern, " ")
		if !strings.HasPrefix(path, "/api/") && path != "/healthz" && path != "/readyz" && path != "/enroll" &&
			path != "/renew" &&
			path != "/metrics" &&
			!strings.HasSuffix(path, ".pem") {
			continue
		}
		op, ok := described[pattern]
		if !ok {
			t.Errorf("%s is not described", pattern)
			continue
		}
		delete(described, pattern)
		method, ask := paths(t, pattern, "shop", "t1", diagnosis, incident)
		if method != http.MethodGet {
			continue
		}
		// What is described can be asked: a value that cannot be is refused, where one that is not read would be let pass.
		list, _ := op["parameters"].([]any)
		for _, v := range list {
			param := v.(map[string]any)
			kind := param["schema"].(map[string]any)
			if param["in"] != "query" || kind["enum"] == nil && kind["format"] == nil && kind["type"] == "string" {
				continue
			}
			address := ask + "?" + param["name"].(string) + "=zz"
			if status, _, _ := h.send(t, client, method, address, nil, "Authorization", "Bearer "+token); status != 400 {
				t.Errorf("%s: %d", address, status)
			}
		}
		status, body, head := h.send(
			t,
			client,
			method,
			ask,
			nil,
			"Authorization",
			"Bearer "+token,
			"Accept",
			"application/json",
		)
		answer, _ := op["responses"].(map[string]any)["200"].(map[string]any)
		content, _ := answer["content"].(map[string]any)
		kind, _, _ := strings.Cut(head.Get("Content-Type"), ";")
		if status != 200 || content[kind] == nil && path != "/metrics" {
			t.Errorf("%s: %d %s", pattern, status, kind)
		}
		if kind != "application/json" {
			continue
		}
		name, ok := content[kind].(map[string]any)["schema"].(map[string]any)["$ref"].(string)
		if !ok {
			continue
		}
		schema, err := c.Compile("openapi.json" + name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v\n%.400s", pattern, err, body)
		}
	}
	for p := range described {
		t.Errorf("%s is described and not there", p)
	}
	// Errors are as described too.
	schema := c.MustCompile("openapi.json#/components/schemas/Error")
	for _, ask := range []string{"/api/v1/diagnoses?limit=0", "/api/v1/terminals/shop/none", "/api/v1/nowhere"} {
		_, body, _ := h.send(t, client, "GET", ask, nil, "Authorization", "Bearer "+token)
		var v any
		if json.Unmarshal([]byte(body), &v) != nil || schema.Validate(v) != nil {
			t.Errorf("%s: %s", ask, body)
		}
	}
}
