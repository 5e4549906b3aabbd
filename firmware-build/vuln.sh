#!/bin/sh
# Looks for known weaknesses in what is linked, by govulncheck; fails when something that is called has one. The database is
# vuln.go.dev; where that is not reached, the same entries come through the module proxy, as the sources they are made from,
# which may be some weeks older. VULNDB=file:///FOLDER names a copy.
set -eu
go=${GO:-go}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
check() { "$go" run golang.org/x/vuln/cmd/govulncheck@v1.9.0 "$@" ./agent ./fleet >"$said" 2>&1; }
if [ -n "${VULNDB:-}" ]; then
	echo "vuln: by $VULNDB"
	check -db "$VULNDB" && rc=0 || rc=$?
elif check; then
	rc=0
else
	rc=$?
	if grep -q 'fetching vulnerabilities' "$said"; then
		dir=$("$go" mod download -json golang.org/x/vulndb@latest | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p') || dir=
		[ -n "$dir" ] || { echo "vuln: NOTHING WAS CHECKED: neither vuln.go.dev nor the module golang.org/x/vulndb can be had from here; VULNDB=file:///FOLDER names a copy" >&2; exit 1; }
		echo "vuln: vuln.go.dev is not reached; by ${dir##*/}, whose name holds its date"
		check -db "file://$dir/data/osv" && rc=0 || rc=$?
	fi
fi
# Of each weakness its number, what it is, and where it is mended; the ways to it are many and long.
grep -E '^Vulnerability #|^  [A-Z]|More info|(Found|Fixed) in:|^Your code|^This scan|^vulnerabilities in|^these vuln|^No vuln|^govulncheck' "$said" || cat "$said"
exit "$rc"
