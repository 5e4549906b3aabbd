package main

import (
	"context"
	"encoding/json"

	"posdx/codes"
)

func runVersion(_ context.Context, s stdio, args []string) int {
	f := flags(s, "version", "[--json]", "显示程序的版本和内置的知识包。", "Prints the version of the program and of the knowledge inside.", "posdx-fleet version")
	asJSON := f.Bool("json", false, "输出 JSON\nprint JSON")
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	k := codes.Builtin()
	if *asJSON {
		json.NewEncoder(s.out).Encode(map[string]string{"version": version, "knowledge": k.Hash, "knowledge_version": k.Version})
		return exitOK
	}
	s.print("posdx-fleet %s，知识包 %s %s", "posdx-fleet %s, knowledge %s %s", version, k.Version, k.Hash)
	return exitOK
}
