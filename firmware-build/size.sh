#!/bin/sh
# Prints the sizes of the ARM builds against their budget: 7.0 MB for GOARM=7, 2.3 MB of it packed. Fails above it.
set -eu
dir=$1
budget=7000000 packed=2300000
fail=0
printf '%-18s %10s %10s\n' "" bytes xz
for f in "$dir"/posdx-arm*; do
	case $f in *.*) continue ;; esac
	n=$(wc -c <"$f")
	x=$(xz -9 -c "$f" | wc -c)
	printf '%-18s %10d %10d\n' "${f##*/}" "$n" "$x"
	case $f in
	*armv7) if [ "$n" -gt $budget ] || [ "$x" -gt $packed ]; then
		echo "posdx-armv7 is over its budget of $budget bytes, $packed packed" >&2
		fail=1
	fi ;;
	esac
done
exit $fail
