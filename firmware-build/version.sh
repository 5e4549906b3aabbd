#!/bin/sh
# Prints the version of this source so that versions sort as they came: 1.2.0 for a tag v1.2.0, 1.2.0+3.gabc for the
# third commit after it, 0.0.0+57.gabc for the 57th where there is no tag; .dirty behind it for changed sources.
set -eu
d=$(git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null) ||
	d=v0.0.0-$(git rev-list --count HEAD 2>/dev/null)-g$(git describe --always --dirty --exclude '*' 2>/dev/null) || d=v0.0.0-0-gunknown
echo "${d#v}" | sed 's/-\([0-9]*\)-g/+\1.g/; s/-dirty$/.dirty/; s/-/~/g'
