#!/bin/sh
# Runs every fuzz target for a while (first argument, as go test -fuzztime takes it). A package's tests are built once for
# all of its targets.
set -eu
go=${GO:-go}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
cache=$("$go" env GOCACHE)/fuzz
module=$("$go" list -m)
grep -rl --include='*_test.go' '^func Fuzz' agent codes drivers fleet firmware-build | xargs -n 1 dirname | sort -u | while read -r dir; do
	"$go" test -c -fuzz . -o "$tmp/test" "./$dir" </dev/null
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go); do
		name="$dir $target"
		if (cd "$dir" && "$tmp/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$1" -test.fuzzcachedir "$cache/$module/$dir") >"$out" 2>&1 </dev/null; then
			echo "ok     fuzz $name"
		elif grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out"; then
			# The end of the time is reported as a failure now and then.
			echo "ok     fuzz $name (time was up)"
		else
			echo "FAILED fuzz $name"
			cat "$out"
			exit 1
		fi
	done
done
