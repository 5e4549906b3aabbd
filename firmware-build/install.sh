#!/bin/sh
# Installs or upgrades posdx from the folder this script lies in. Needs root and busybox, nothing else.
#   ./install.sh [--no-start]
# DESTDIR=/other/root installs into an image that is not running.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
start=yes
[ "${1:-}" = --no-start ] && start=no
[ -n "$root" ] && start=no

die() { echo "install: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must be root"
(cd "$here" && sha256sum -c SHA256SUMS >/dev/null 2>&1) || die "the package is damaged: SHA256SUMS does not match; copy it again"
# A wrong build ends here with an illegal instruction, before anything is replaced.
if [ -z "$root" ]; then
	version=$("$here/posdx" version) || die "this build does not run on this processor; take another of armv5, armv6, armv7, arm64"
else
	version="posdx into $root"
fi
need=$(($(wc -c <"$here/posdx") / 1024 + 512))
mkdir -p "$root/usr/bin" "$root/etc/posdx" "$root/etc/init.d" "$root/var/lib/posdx" "$root/var/run"
free=$(df -P -k "$root/usr/bin" 2>/dev/null | awk 'NR==2 {print $4}')
[ -z "$free" ] || [ "$free" -gt "$need" ] || die "$root/usr/bin has $free kB free, $need are needed"

# The user. Terminals have busybox's adduser, useradd, or neither: the files are the same everywhere.
if ! grep -q '^posdx:' "$root/etc/group" 2>/dev/null; then
	gid=900
	while grep -q "^[^:]*:[^:]*:$gid:" "$root/etc/group" 2>/dev/null; do gid=$((gid + 1)); done
	echo "posdx:x:$gid:" >>"$root/etc/group"
fi
gid=$(awk -F: '$1 == "posdx" {print $3}' "$root/etc/group")
if ! grep -q '^posdx:' "$root/etc/passwd" 2>/dev/null; then
	uid=900
	while grep -q "^[^:]*:[^:]*:$uid:" "$root/etc/passwd" 2>/dev/null; do uid=$((uid + 1)); done
	echo "posdx:x:$uid:$gid:posdx:/var/lib/posdx:/bin/false" >>"$root/etc/passwd"
	[ ! -f "$root/etc/shadow" ] || echo 'posdx:!:19000:0:99999:7:::' >>"$root/etc/shadow"
fi
uid=$(awk -F: '$1 == "posdx" {print $3}' "$root/etc/passwd")
# The serial ports belong to this group where it exists.
if grep -q '^dialout:' "$root/etc/group" && ! grep -q '^dialout:.*posdx' "$root/etc/group"; then
	sed -i '/^dialout:/ { s/$/,posdx/; s/:,posdx$/:posdx/ }' "$root/etc/group"
fi

systemd=no
[ -d "$root/lib/systemd/system" ] && systemd=yes
running=no
if [ "$start" = yes ] && [ -x "$root/etc/init.d/posdx" ] && "$root/etc/init.d/posdx" status >/dev/null 2>&1; then
	running=yes
fi

# Every file appears whole or not at all: the plug may be pulled now.
put() { # mode source target
	cp "$2" "$3.new"
	chmod "$1" "$3.new"
	sync
	mv "$3.new" "$3"
}
old=
if [ -f "$root/usr/bin/posdx" ]; then
	old="; the one before is kept as /usr/bin/posdx.old"
	cp -p "$root/usr/bin/posdx" "$root/usr/bin/posdx.old"
fi
put 755 "$here/posdx" "$root/usr/bin/posdx"
put 755 "$here/posdx.init" "$root/etc/init.d/posdx"
[ $systemd = no ] || put 644 "$here/posdx.service" "$root/lib/systemd/system/posdx.service"
[ $systemd = no ] || put 644 "$here/posdx-relay@.service" "$root/lib/systemd/system/posdx-relay@.service"
fresh=no
if [ ! -f "$root/etc/posdx/posdx.toml" ]; then
	fresh=yes
	put 640 "$here/posdx.toml" "$root/etc/posdx/posdx.toml"
	[ -d "$root/run" ] || sed -i 's#/run/posdx/#/var/run/posdx/#' "$root/etc/posdx/posdx.toml"
fi
put 644 "$here/posdx.toml" "$root/etc/posdx/posdx.toml.example"
chown "0:$gid" "$root/etc/posdx/posdx.toml"
chown "$uid:$gid" "$root/var/lib/posdx"
chmod 700 "$root/var/lib/posdx"
sync
echo "installed: $version$old"

if [ $fresh = yes ]; then
	echo "next: edit /etc/posdx/posdx.toml (estate, terminal, targets, broker), then"
	echo "      posdx config check /etc/posdx/posdx.toml && /etc/init.d/posdx start"
	[ -d "$root/etc/rc.d" ] || [ ! -d "$root/etc/rcS.d" ] || echo "      ln -s ../init.d/posdx /etc/rcS.d/S95posdx    (to start at every boot)"
	exit 0
fi
[ "$start" = yes ] || exit 0
if ! { "$root/usr/bin/posdx" config check "$root/etc/posdx/posdx.toml" || [ $? -eq 4 ]; }; then
	die "the configuration does not suit this version: put right what is named above, then /etc/init.d/posdx restart"
fi
if [ $systemd = yes ] && command -v systemctl >/dev/null 2>&1 && systemctl daemon-reload 2>/dev/null; then
	systemctl try-restart posdx
elif [ $running = yes ]; then
	"$root/etc/init.d/posdx" restart
fi
