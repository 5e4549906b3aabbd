#!/bin/sh
# Removes posdx. Configuration, queued diagnoses and the user stay, unless --purge is given.
set -eu
root=${DESTDIR:-}
[ "$(id -u)" = 0 ] || { echo "uninstall: must be root" >&2; exit 1; }
if [ -z "$root" ]; then
	if command -v systemctl >/dev/null 2>&1; then systemctl disable --now posdx 2>/dev/null || true; systemctl stop 'posdx-relay@*' 2>/dev/null || true; fi
	[ ! -x /etc/init.d/posdx ] || /etc/init.d/posdx stop || true
fi
rm -f "$root/usr/bin/posdx" "$root/usr/bin/posdx.old" "$root/etc/init.d/posdx" "$root/lib/systemd/system/posdx.service" "$root/lib/systemd/system/posdx-relay@.service" \
	"$root/etc/posdx/posdx.toml.example" "$root"/etc/rc?.d/S??posdx
if [ "${1:-}" = --purge ]; then
	rm -rf "$root/etc/posdx" "$root/var/lib/posdx"
	for f in passwd shadow group; do
		[ ! -f "$root/etc/$f" ] || sed -i '/^posdx:/d' "$root/etc/$f"
	done
	[ ! -f "$root/etc/group" ] || sed -i '/^dialout:/ { s/,posdx//; s/:posdx$/:/; s/:posdx,/:/ }' "$root/etc/group"
fi
sync
