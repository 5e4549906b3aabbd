#!/bin/sh
# Boots a Debian with a live systemd in a container without a network and watches what the unit does with posdx: starts it
# with the capabilities it names, restarts it when it is killed or hangs, leaves it alone when the configuration is wrong.
# Needs root and the Debian packages debootstrap and systemd-container; the first run fetches a Debian of 240 MB.
set -eu
die() { echo "systemd.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must be root"
for c in debootstrap systemd-nspawn nsenter; do
	command -v $c >/dev/null || die "$c is missing: install the Debian packages debootstrap and systemd-container"
done
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?usage: systemd.sh FOLDER}
if [ ! -f "$root/.ready" ]; then
	echo "systemd.sh: fetching a Debian into $root" >&2
	rm -rf "$root"
	mkdir -p "$root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" >"$root.log" 2>&1 || die "debootstrap failed, see $root.log"
	touch "$root/.ready"
fi
CGO_ENABLED=0 ${GO:-go} build -o "$root/usr/bin/posdx" "$here/../agent"
units=$root/etc/systemd/system
mkdir -p "$root/etc/posdx" "$units/multi-user.target.wants" "$units/posdx.service.d"
install -m 644 "$here/posdx.toml" "$root/etc/posdx/posdx.toml"
install -m 644 "$here/posdx.service" "$units/posdx.service"
ln -sf /etc/systemd/system/posdx.service "$units/multi-user.target.wants/posdx.service"
# Twelve seconds instead of four minutes, so that a hang is not waited for that long.
printf '[Service]\nWatchdogSec=12\n' >"$units/posdx.service.d/test.conf"
chroot "$root" sh -c 'id posdx >/dev/null 2>&1 || useradd -r -s /usr/sbin/nologin posdx'

# It ends by itself, whatever happens to this script.
timeout 300 systemd-nspawn -q -D "$root" --private-network --register=no --keep-unit --boot >"$root.boot" 2>&1 &
guard=$!
init=
trap '[ -z "$init" ] || kill -9 $init 2>/dev/null; kill $guard 2>/dev/null; wait $guard 2>/dev/null || :' EXIT
for _ in $(seq 60); do
	nspawn=$(pgrep -P $guard || :)
	[ -z "$nspawn" ] || init=$(pgrep -x -P "$nspawn" systemd || :)
	[ -z "$init" ] || break
	sleep 1
done
[ -n "$init" ] || die "systemd did not come up, see $root.boot"
inside() { nsenter -t "$init" -a "$@"; }
get() { inside systemctl show -p "$1" --value posdx; }
until_is() { # what it is, property, value
	for _ in $(seq 60); do
		[ "$(get "$2")" = "$3" ] && { echo "ok    $1"; return; }
		sleep 1
	done
	inside journalctl -u posdx --no-pager | tail -20 >&2
	die "$1: $2 is $(get "$2"), want $3"
}
sleep 2
until_is "it is ready" ActiveState active
pid=$(get MainPID)
caps=$(inside sh -c "grep CapEff /proc/$pid/status")
[ "${caps##*	}" = 0000000000082000 ] || echo "note  $caps: a container has no CAP_SYSLOG, want CAP_NET_RAW and CAP_SYS_PTRACE"
inside posdx status --lang en >/dev/null && echo "ok    posdx status"
inside posdx report --code 96 --origin host --lang en | grep -q host.malfunction && echo "ok    a code is explained" || die "no diagnosis"
echo "ok    exposure: $(inside systemd-analyze security posdx --no-pager | sed -n 's/.*exposure level for posdx.service: //p')"
inside sh -c "kill -9 $pid"
until_is "killed, it comes back" NRestarts 1
until_is "and is ready" ActiveState active
inside sh -c "kill -STOP $(get MainPID)"
until_is "hanging, it is ended by the watchdog and comes back" NRestarts 2
until_is "and is ready" ActiveState active
inside sh -c 'echo "nonsense = 1" >>/etc/posdx/posdx.toml; systemctl restart posdx 2>/dev/null' || :
until_is "a wrong configuration ends it" ExecMainStatus 78
sleep 7
until_is "and it is not started again" NRestarts 0
inside sh -c 'sed -i "/^nonsense/d" /etc/posdx/posdx.toml; systemctl restart posdx'
until_is "put right, it starts" ActiveState active
