#!/bin/sh
# Prints the sizes of the ARM builds and fails above the budget of the one for GOARM=7.
#
# The budget: a flash of 16 MiB (16.8 MB) with nothing else on it must take an upgrade. At its fullest it holds the new
# program and the old one packed by gzip (42 % of it), 1 MB of queue, configuration and scripts: 1.42 * 11.0 + 1 = 16.6 MB.
# Where less is free, setup refuses before anything is touched. Packed by xz, as in the deb, it crosses a metered line.
# It was 7.0 MB once, which the three libraries that are given, TLS and the language's runtime nearly fill alone (README.md).
set -eu
dir=$1
budget=11000000 packed=3100000
fail=0
printf '%-18s %10s %10s\n' "" bytes xz
for f in "$dir"/posdx-arm*; do
	case $f in *.*) continue ;; esac
	n=$(wc -c <"$f")
	x=$(xz -9 -c "$f" | wc -c)
	note=
	case $f in
	*armv7)
		if [ "$n" -gt $budget ] || [ "$x" -gt $packed ]; then
			note="over the budget of $budget, $packed packed"
			fail=1
		fi
		;;
	esac
	printf '%-18s %10d %10d  %s\n' "${f##*/}" "$n" "$x" "$note"
done
exit $fail
