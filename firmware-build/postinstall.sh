#!/bin/sh
# Of the deb and ipk packages: the user and the modes; install.sh does the same for the tar.
set -e
grep -q '^posdx:' /etc/group || { addgroup --system posdx 2>/dev/null || groupadd -r posdx 2>/dev/null || addgroup -S posdx; }
grep -q '^posdx:' /etc/passwd ||
	adduser --system --no-create-home --home /var/lib/posdx --ingroup posdx posdx 2>/dev/null ||
	useradd -r -M -d /var/lib/posdx -s /bin/false -g posdx posdx 2>/dev/null || adduser -S -D -H -h /var/lib/posdx -s /bin/false -G posdx posdx
mkdir -p /var/lib/posdx
chown posdx:posdx /var/lib/posdx
chmod 700 /var/lib/posdx
chgrp posdx /etc/posdx/posdx.toml
if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart posdx
fi
exit 0
