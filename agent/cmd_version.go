package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
)

func runVersion(_ context.Context, s stdio, args []string) int {
	f := flags(s, "version", "[--json]", "Prints the version of the program.", "posdx version")
	asJSON := f.Bool("json", false, "print JSON")
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
