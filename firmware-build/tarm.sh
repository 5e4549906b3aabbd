#!/bin/sh
# Runs the serial port's tests over github.com/tarm/serial, natively and as ARM. The library comes from Debian's
# golang-github-tarm-serial-dev, so that the tests need no network.
set -eu
src=/usr/share/gocode/src/github.com/tarm/serial
left_out() { # says what is not done, and notes it for the last lines of make test
	echo "tarm: $1" >&2
	[ -z "${SKIPPED:-}" ] || { mkdir -p "$(dirname "$SKIPPED")" && echo "tarm: $1" >>"$SKIPPED"; }
}
[ -d $src ] || { left_out "no Debian package golang-github-tarm-serial-dev"; exit 0; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/tarm"
cp $src/*.go "$tmp/tarm"
rm -f "$tmp"/tarm/*_test.go
printf 'module github.com/tarm/serial\n\ngo 1.21\n' >"$tmp/tarm/go.mod"
cp go.mod "$tmp/alt.mod"
cp go.sum "$tmp/alt.sum"
echo "replace github.com/tarm/serial => $tmp/tarm" >>"$tmp/alt.mod"
export CGO_ENABLED=0
"${GO:-go}" test -timeout 10m -tags tarm -modfile="$tmp/alt.mod" ./drivers/serial/... ./drivers/reader/... ./drivers/modem/...
"${GO:-go}" build -tags tarm -modfile="$tmp/alt.mod" -o "$tmp/posdx" ./agent
if command -v qemu-arm-static >/dev/null; then
	GOARCH=arm GOARM=7 "${GO:-go}" test -timeout 10m -tags tarm -modfile="$tmp/alt.mod" -exec qemu-arm-static ./drivers/serial/...
else
	left_out "as ARM: no Debian package qemu-user-static"
fi
