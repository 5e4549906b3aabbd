package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"posdx/codes"
	"posdx/fleet/mcp"
)

func runMCP(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"mcp",
		"--token-file FILE [OPTIONS]",
		"让会讲 Model Context Protocol 的 AI 助手通过标准输入输出查看运行中的管理平台。只能读它的令牌允许的机构和内容，什么也不改。",
		"Shows a running fleet to an assistant that speaks the Model Context Protocol, on stdin and stdout. It asks what its token may read, of the estates that the token has, and changes nothing.",
		"posdx-fleet token add assistant --estates shop >token\nposdx-fleet mcp --url https://fleet.example.com --token-file token",
	)
	c, tokenFile := addClient(f)
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	var err error
	if c.token, err = readToken(*tokenFile); err != nil {
		return failed(s, "mcp", mistake{err})
	}
	server := mcp.New(func(ctx context.Context, path string) (json.RawMessage, error) {
		var answer json.RawMessage
		err := c.get(ctx, path, &answer)
		return answer, err
	}, codes.Builtin(), version)
	if err := mcp.Serve(ctx, server, io.NopCloser(stdin), unclosed{s.out}); err != nil && !errors.Is(err, io.EOF) &&
		ctx.Err() == nil {
		return failed(s, "mcp", err)
	}
	return exitOK
}

// unclosed keeps stdout open.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }
