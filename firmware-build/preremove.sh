#!/bin/sh
# Of the deb and ipk packages. On an upgrade Debian says so, and the service is restarted afterwards.
[ "$1" = upgrade ] && exit 0
if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
	systemctl disable --now posdx
else
	/etc/init.d/posdx stop
fi
exit 0
