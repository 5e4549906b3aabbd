#!/bin/sh
# Measures the ARM build of posdx on a real ARM kernel, in qemu. The kernel is Debian's, fetched once into dist/guest by an
# apt of its own; nothing is installed. Needs qemu-system-arm (Debian package of that name) and apt.
set -eu
posdx=$1
w=$(pwd)/dist/guest
command -v qemu-system-arm >/dev/null || { echo "guest: needs the Debian package qemu-system-arm" >&2; exit 1; }
if ! ls "$w"/root/boot/vmlinuz-* >/dev/null 2>&1; then
	a=$w/apt
	mkdir -p "$a/etc/apt/apt.conf.d" "$a/etc/apt/preferences.d" "$a/var/lib/dpkg" "$a/var/lib/apt/lists/partial" "$a/var/cache/apt/archives/partial" "$w/deb"
	: >"$a/var/lib/dpkg/status"
	# The mirror that this machine already uses, whatever form its list has.
	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] *)?([^ ]+).*/\2/p' | head -1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >"$a/etc/apt/sources.list"
	set -- -o APT::Architecture=armhf -o APT::Architectures=armhf -o Dir="$a" -o Dir::State::status="$a/var/lib/dpkg/status" -o APT::Sandbox::User=root
	apt-get "$@" -q update
	image=$(apt-cache "$@" depends linux-image-armmp | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -1)
	(cd "$w/deb" && apt-get "$@" -q download "$image")
	for d in "$w"/deb/*.deb; do dpkg -x "$d" "$w/root"; done
fi
CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 "${GO:-go}" build -trimpath -ldflags '-s -w' -o "$w/init" ./firmware-build/lab/guest
"${GO:-go}" run ./firmware-build/lab/guest -kernel "$(ls "$w"/root/boot/vmlinuz-* | head -1)" -init "$w/init" -posdx "$posdx"
