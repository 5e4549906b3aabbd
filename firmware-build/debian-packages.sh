#!/bin/sh
# Installs the Debian packages that the tests use and that are missing, or names them when it may not.
set -eu
wanted="mosquitto gammu iaxmodem modemmanager ofono dbus libglib2.0-bin python3 util-linux qemu-user-static libccid pcscd pcsc-tools gcc libc6-dev golang-github-tarm-serial-dev iproute2 iputils-ping nftables chromium socat picocom minicom screen expect openssh-client lrzsz tmux curl default-jdk-headless procps prometheus prometheus-alertmanager jq busybox-static xz-utils logrotate gdb"
command -v dpkg-query >/dev/null || { echo "not Debian: tests that need one of [$wanted] skip themselves" >&2; exit 0; }
missing=
for p in $wanted; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "tests that need these packages skip themselves; install them with: sudo apt-get install$missing" >&2
	exit 0
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -q >/dev/null
	apt-get install -y -q --no-install-recommends $missing >/dev/null
}
