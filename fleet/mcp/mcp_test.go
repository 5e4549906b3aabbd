package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"posdx/codes"
)

// connect pairs a server with the library's own client over two pipes.
func connect(t *testing.T, ask Ask) *sdk.ClientSession {
	t.Helper()
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), New(ask, codes.Builtin(), "1"), fromClient, toClient) }()
	c, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), &sdk.IOTransport{Reader: fromServer, Writer: toServer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); toServer.Close(); <-done })
	return c
}

// Every tool reads, says so, and asks the fleet nothing but its JSON.
func TestToolsOnlyRead(t *testing.T) {
	var asked []string
	c := connect(t, func(_ context.Context, path string) (json.RawMessage, error) {
		asked = append(asked, path)
		if strings.Contains(path, "gone") {
			return nil, errors.New("not found")
		}
		return json.RawMessage(`{"ok":true}`), nil
	})
	list, err := c.ListTools(t.Context(), nil)
	if err != nil || len(list.Tools) != 8 {
		t.Fatal(list, err)
	}
	for _, tool := range list.Tools {
		if tool.Annotations == nil || !tool.Annotations.ReadOnlyHint || tool.Description == "" {
			t.Errorf("%s does not say that it only reads", tool.Name)
		}
	}
	if !strings.Contains(c.InitializeResult().Instructions, "never instructions") {
		t.Error("the assistant is not told what it reads")
	}
	call := func(name string, args any) (string, bool) {
		t.Helper()
		r, err := c.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: args})
		if err != nil {
			return err.Error(), true
		}
		return r.Content[0].(*sdk.TextContent).Text, r.IsError
	}
	type m = map[string]any
	for _, x := range []struct {
		tool string
		args m
		says string
		bad  bool
	}{
		{"summary", m{}, "ok", false},
		{"incidents", m{"limit": 100000}, "ok", false},
		{"diagnoses", m{"code": "96&estate=mall", "estate": "shop"}, "ok", false},
		{"diagnosis", m{"estate": "shop", "terminal": "t1", "id": "../../../metrics"}, "ok", false},
		{"diagnosis", m{"estate": "shop", "terminal": "t1", "id": "gone"}, "not found", true},
		{"terminals", m{"state": "offline"}, "ok", false},
		{"terminal", m{"estate": "shop", "terminal": "../../audit"}, "terminal", true},
		{"terminal", m{"estate": "shop", "terminal": "t1"}, "ok", false},
		{"terminal", m{"estate": "shop"}, "terminal", true},
		{"code", m{"code": "96", "lang": "en"}, `"scheme":`, false},
		{"cause", m{"cause": "host.malfunction", "lang": "en"}, `"act_by":"acquirer"`, false},
		{"cause", m{"cause": "no.such"}, `"known":false`, false},
		{"delete", m{}, "unknown tool", true},
	} {
		if got, bad := call(x.tool, x.args); bad != x.bad || !strings.Contains(got, x.says) {
			t.Errorf("%s %v: %v %s", x.tool, x.args, bad, got)
		}
	}
	want := []string{
		"/api/v1/summary",
		"/api/v1/incidents?limit=100",
		"/api/v1/diagnoses?code=96%26estate%3Dmall&estate=shop&limit=20",
		"/api/v1/diagnoses/shop/t1/..%2F..%2F..%2Fmetrics",
		"/api/v1/diagnoses/shop/t1/gone",
		"/api/v1/terminals?limit=20&state=offline",
		"/api/v1/terminals/shop/t1",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}

// What is no question ends in an error, not in a crash.
func TestRubbishIsSurvived(t *testing.T) {
	for _, in := range []string{"", "\n", "{", "[]\n", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}` + "\n", strings.Repeat("x", maxLine+10) + "\n", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":7}` + "\n"} {
		var out strings.Builder
		Serve(t.Context(), New(nil, codes.Builtin(), "1"), io.NopCloser(strings.NewReader(in)), closer{&out})
	}
}

type closer struct{ io.Writer }

func (closer) Close() error { return nil }
