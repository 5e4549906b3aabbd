#!/bin/sh
# Runs scenarios of the simulated terminal, all of them if none is named, and prints what became of each.
set -u
[ $# -gt 0 ] || set -- $(bin/posdx-lab scenarios | awk '{print $1}')
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
for s in "$@"; do
	begun=$(date +%s)
	if bin/posdx-lab run --scenario "$s" --once --lang en --dir "$tmp/$s" ${RECORD:+--record "$RECORD"} >"$tmp/out" 2>&1; then
		verdict=ok
	else
		verdict=FAILED
		failed=$((failed + 1))
	fi
	printf '%-6s %-22s %3d s  %s\n' $verdict "$s" $(($(date +%s) - begun)) "$(sed -n 's/^The payment app shows //p' "$tmp/out")"
	[ $verdict = ok ] || sed 's/^/       /' "$tmp/out"
done
[ $failed = 0 ] || { echo "$failed scenarios failed" >&2; exit 1; }
