package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
)

func runVersion(_ context.Context, s stdio, args []string) int {
	f := flags(s, "version", "[--json]", "显示程序的版本。\n退出码：0；2 用法不对。", "Prints the version of the program.\nExit codes: 0, 2 usage.", "posdx version")
	asJSON := f.Bool("json", false, jsonUsage)
	if _, code, ok := parse(s, f, args); !ok {
		return code
	}
	v := struct{ Version, Go, Arch string }{version, runtime.Version(), runtime.GOARCH}
	if *asJSON {
		json.NewEncoder(s.out).Encode(v)
		return exitOK
	}
	fmt.Fprintf(s.out, "posdx %s (%s, %s)\n", v.Version, v.Go, v.Arch)
	return exitOK
}
