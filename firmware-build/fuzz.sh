#!/bin/sh
# Runs every fuzz target for a while (first argument, as go test -fuzztime takes it).
set -eu
grep -rl --include='*_test.go' '^func Fuzz' agent codes drivers fleet firmware-build | while read -r file; do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "./$(dirname "$file")" </dev/null |
			awk -v t="$(dirname "$file") $target" '/^ok|^PASS/ {ok=1} {last=last $0 "\n"} END {print (ok ? "ok     fuzz " : "FAILED fuzz ") t; if (!ok) {printf "%s", last; exit 1}}'
	done
done
