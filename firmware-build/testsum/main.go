// Command testsum reads what `go test -json` prints and writes what `go test` would: a line a package, and everything
// that a failed test said. Its last lines count the tests that were skipped and say why. It exits with 1 if anything
// failed. A file that is named holds what else was left out, one a line: it is counted too.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// An event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

func main() {
	var others []string
	if len(os.Args) > 1 {
		b, err := os.ReadFile(os.Args[1])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			os.Exit(1)
		}
		others = strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
	}
	if !summarise(os.Stdin, os.Stdout, others...) {
		os.Exit(1)
	}
}

// summarise tells whether all is well: nothing failed, and something ran.
func summarise(in io.Reader, out io.Writer, others ...string) bool {
	said := map[string][]string{} // by package and test
	skips := map[string][]string{}
	good, ran := true, false
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(out, line) // what the toolchain says for itself: a package that does not build
				good = good && !strings.Contains(line, "FAIL")
				continue
			}
			key := e.Package + " " + e.Test
			switch e.Action {
			case "output", "build-output":
				if e.Test == "" {
					if whole := e.Output; strings.HasPrefix(whole, "ok ") || strings.HasPrefix(whole, "FAIL") ||
						strings.HasPrefix(whole, "panic") || e.Action == "build-output" {
						fmt.Fprint(out, whole)
					}
				}
				said[key] = append(said[key], e.Output)
			case "fail", "build-fail":
				good = false
				if e.Test == "" {
					unfinished(out, said, e.Package)
				}
				fmt.Fprint(out, strings.Join(said[key], ""))
				delete(said, key)
			case "skip":
				if e.Test != "" {
					why := reason(said[key])
					skips[why] = append(skips[why], e.Test)
				}
				delete(said, key)
			case "pass":
				ran = true
				delete(said, key)
			}
		}
		if err != nil {
			break
		}
	}
	report(out, skips, others)
	return good && ran
}

// unfinished writes what those tests of a package said that had no end: it ran out of time, or its process died.
func unfinished(out io.Writer, said map[string][]string, pkg string) {
	for _, key := range slices.Sorted(maps.Keys(said)) {
		if test := strings.TrimPrefix(key, pkg+" "); test != key && test != "" {
			fmt.Fprintf(out, "%s did not end\n%s", test, strings.Join(said[key], ""))
			delete(said, key)
		}
	}
}

// reason is what a skipped test said of why, without its place.
func reason(said []string) string {
	for _, s := range slices.Backward(said) {
		s = strings.TrimSpace(s)
		if _, why, ok := strings.Cut(s, ".go:"); ok {
			_, why, _ = strings.Cut(why, ": ")
			return why
		}
	}
	return "no reason given"
}

func report(out io.Writer, skips map[string][]string, others []string) {
	n := 0
	whys := make([]string, 0, len(skips))
	for why, tests := range skips {
		n += len(tests)
		whys = append(whys, why)
	}
	slices.Sort(whys)
	fmt.Fprintf(out, "%d tests skipped\n", n)
	for _, why := range whys {
		tests := skips[why]
		slices.Sort(tests)
		tests = slices.Compact(tests)
		more := ""
		if len(tests) > 4 {
			more = fmt.Sprintf(" and %d more", len(tests)-4)
			tests = tests[:4]
		}
		fmt.Fprintf(out, "  %s: %s%s\n", why, strings.Join(tests, " "), more)
	}
	if len(others) > 0 {
		fmt.Fprintf(out, "%d other parts left out\n  %s\n", len(others), strings.Join(others, "\n  "))
	}
}
