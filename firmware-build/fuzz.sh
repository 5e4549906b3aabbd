#!/bin/sh
# Runs every fuzz target for a while (first argument, as go test -fuzztime takes it).
set -eu
out=$(mktemp)
trap 'rm -f "$out"' EXIT
grep -rl --include='*_test.go' '^func Fuzz' agent codes drivers fleet firmware-build | while read -r file; do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		name="$(dirname "$file") $target"
		if "${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "./$(dirname "$file")" >"$out" 2>&1 </dev/null; then
			echo "ok     fuzz $name"
		elif grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out"; then
			# go test reports its own end of time as a failure now and then.
			echo "ok     fuzz $name (time was up)"
		else
			echo "FAILED fuzz $name"
			cat "$out"
			exit 1
		fi
	done
done
