#!/bin/sh
# Installs, upgrades, breaks, removes and purges the deb in real Debians: one with a live systemd, in a container without a
# network, where the unit is watched too (started with the capabilities it names, restarted when killed or hanging, left
# alone on a wrong configuration), and one with System V's init scripts. Nobody is there to answer a prompt.
# Needs root and the Debian packages debootstrap and systemd-container; the first run fetches two Debians of 240 MB.
# The third is the fleet view's deb in a Debian of its own with a live systemd.
#   debian.sh FOLDER [systemd|sysv|fleet]
set -eu
die() { echo "debian.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must be root"
for c in debootstrap systemd-nspawn nsenter unshare; do
	command -v $c >/dev/null || die "$c is missing: install the Debian packages debootstrap and systemd-container"
done
# In namespaces of its own: what it mounts and starts ends with it, however it ends.
[ -n "${POSDX_DEBIAN_ALONE:-}" ] || POSDX_DEBIAN_ALONE=1 exec unshare --mount --pid --fork --kill-child --mount-proc sh "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
base=${1:?usage: debian.sh FOLDER [systemd|sysv]}
only=${2:-}
go=${GO:-go}
arch=$($go env GOARCH)
mkdir -p "$base"
export DEBIAN_FRONTEND=noninteractive LC_ALL=en_US.UTF-8 # what is said is looked at below

[ "$only" = fleet ] || for v in 1.0.0 2.0.0; do
	mkdir -p "$base/$v"
	(cd "$here/.." && CGO_ENABLED=0 $go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$v" -o "$base/$v/posdx-$arch" ./agent &&
		DIST=$base/$v sh firmware-build/package.sh $v "$arch" >/dev/null) || die "no package of $v"
done

fetch() { # folder, packages
	[ ! -f "$1/.ready" ] || return 0
	echo "debian.sh: fetching a Debian into $1" >&2
	rm -rf "$1"
	debootstrap --variant=minbase --include="$2" bookworm "$1" >"$1.log" 2>&1 || die "debootstrap failed, see $1.log"
	touch "$1/.ready"
}
ok() { echo "ok    $*"; }
config='estate = "shop"
terminal = "t1"
'
fresh_root() { # an earlier run's posdx goes
	chroot "$1" dpkg --purge --force-all posdx >/dev/null 2>&1 || :
	rm -rf "$1/usr/lib/posdx" "$1/etc/posdx" "$1/var/lib/posdx" "$1/usr/bin/posdx"
	cp "$base"/1.0.0/*.deb "$1/root/1.deb"
	cp "$base"/2.0.0/*.deb "$1/root/2.deb"
}

sysv() {
	root=$base/sysv
	fetch "$root" sysvinit-core
	fresh_root "$root"
	mount -t proc proc "$root/proc"
	in_root() { chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
	in_root dpkg -i /root/1.deb </dev/null >"$base/said" 2>&1 || die "fresh: $(cat "$base/said")"
	grep -q "next: write estate" "$base/said" || die "fresh said $(cat "$base/said")"
	in_root id posdx | grep -q dialout && ok "fresh, posdx is in dialout" || die "not so: fresh, posdx is in dialout"
	ls "$root"/etc/rc2.d/S??posdx >/dev/null 2>&1 && ok "started at every boot" || die "no link in rc2.d"
	printf '%s' "$config" >"$root/etc/posdx/posdx.toml"
	in_root /etc/init.d/posdx start >/dev/null
	in_root posdx selfcheck --live 30 >/dev/null && ok "it runs" || die "not so: it runs"
	in_root dpkg -i /root/2.deb </dev/null >"$base/said" 2>&1 || die "upgrade with an edited configuration, nobody there: $(cat "$base/said")"
	in_root posdx selfcheck --live 30 | grep -q 2.0.0 && ok "upgraded unattended, the new program runs" || die "not so: upgraded unattended, the new program runs"
	[ "$(cat "$root/etc/posdx/posdx.toml")" = "$(printf '%s' "$config")" ] && ok "the configuration is as it was" || die "configuration changed"
	echo 'nonsense = 1' >>"$root/etc/posdx/posdx.toml"
	! in_root dpkg -i /root/1.deb </dev/null >"$base/said" 2>&1 || die "an unfit configuration was taken"
	grep -q nonsense "$base/said" && in_root posdx version | grep -q 2.0.0 && ok "an unfit configuration is refused, the old program is in place" || die "not so: an unfit configuration is refused, the old program is in place"
	printf '%s' "$config" >"$root/etc/posdx/posdx.toml"
	in_root dpkg --configure -a </dev/null >/dev/null 2>&1 && in_root posdx selfcheck --live 30 | grep -q 1.0.0 && ok "put right, dpkg --configure finishes" || die "not so: put right, dpkg --configure finishes"
	i=0
	while [ $i -lt 20 ]; do # dpkg is killed at any moment, then told to go on
		i=$((i + 1))
		setsid chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg -i "/root/$((i % 2 + 1)).deb" </dev/null >/dev/null 2>&1 &
		p=$!
		sleep "0.$((i * 37 % 90 + 10))"
		kill -9 -- -$p 2>/dev/null || : # dpkg and the scripts it runs
		wait $p 2>/dev/null || :
		in_root /usr/lib/posdx/setup boot >/dev/null 2>&1 || :
		in_root posdx version >/dev/null || die "kill $i: no program"
		in_root sh -c 'rm -f /var/lib/dpkg/lock*; dpkg --configure -a --force-confold; dpkg -i /root/2.deb' </dev/null >"$base/said" 2>&1 || die "kill $i: $(cat "$base/said")"
	done
	ok "20 upgrades killed: a program in place after each, finished afterwards"
	in_root dpkg --remove posdx >/dev/null 2>&1
	[ ! -e "$root/usr/bin/posdx" ] && [ -e "$root/etc/posdx/posdx.toml" ] && ok "removed, the configuration stays" || die "remove"
	in_root dpkg --purge posdx >/dev/null 2>&1
	! grep -q posdx "$root/etc/passwd" "$root/etc/group" && [ ! -e "$root/etc/posdx" ] && [ ! -e "$root/var/lib/posdx" ] && ok "purged: state, user and groups are gone" || die "purge"
	umount "$root/proc"
}

# boot starts the systemd of $root in a container that ends by itself, whatever happens to this script. Then `inside` runs
# a command there, and `get` prints a property of the unit.
boot() { # unit
	unit=$1
	timeout 500 systemd-nspawn -q -D "$root" --private-network --register=no --keep-unit --boot >"$root.boot" 2>&1 &
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
	inside() { nsenter -t "$init" -a env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
	get() { inside systemctl show -p "$1" --value "$unit"; }
}

systemd() {
	root=$base/systemd
	fetch "$root" systemd,systemd-sysv,dbus
	fresh_root "$root"
	# Twelve seconds instead of four minutes, so that a hang is not waited for that long.
	mkdir -p "$root/etc/systemd/system/posdx.service.d"
	printf '[Service]\nWatchdogSec=12\nTimeoutStartSec=40\n' >"$root/etc/systemd/system/posdx.service.d/test.conf"
	boot posdx
	until_is() { # what it is, property, value
		for _ in $(seq 60); do
			[ "$(get "$2")" = "$3" ] && { ok "$1"; return; }
			sleep 1
		done
		inside journalctl -u posdx --no-pager | tail -20 >&2
		die "$1: $2 is $(get "$2"), want $3"
	}
	for _ in $(seq 30); do
		inside systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded' && break
		sleep 1
	done
	inside dpkg -i /root/1.deb </dev/null >"$base/said" 2>&1 || die "fresh: $(cat "$base/said")"
	[ "$(get ActiveState)" = inactive ] && [ "$(get UnitFileState)" = enabled ] && ok "fresh: enabled, not started without a name" || die "fresh: $(get ActiveState) $(get UnitFileState)"
	printf '%s' "$config" >"$root/etc/posdx/posdx.toml"
	inside systemctl start posdx
	until_is "it is ready" ActiveState active
	pid=$(get MainPID)
	caps=$(inside sh -c "grep CapEff /proc/$pid/status")
	[ "${caps##*	}" = 0000000000082000 ] || echo "note  $caps: a container has no CAP_SYSLOG, want CAP_NET_RAW and CAP_SYS_PTRACE"
	inside sh -c "grep ^Groups: /proc/$pid/status" | grep -q "$(inside getent group dialout | cut -d: -f3)" && ok "it is in dialout" || die "not so: it is in dialout"
	inside posdx status --lang en >/dev/null && ok "posdx status" || die "not so: posdx status"
	said=$(inside posdx report --code 96 --origin host --lang en 2>&1 || :)
	echo "$said" | grep -q "^hand-off" && ok "a code is answered" || die "no diagnosis: $said"
	ok "exposure: $(inside systemd-analyze security posdx --no-pager | sed -n 's/.*exposure level for posdx.service: //p')"
	inside dpkg -i /root/2.deb </dev/null >"$base/said" 2>&1 || die "upgrade with an edited configuration, nobody there: $(cat "$base/said")"
	inside posdx selfcheck --live 30 | grep -q 2.0.0 && [ ! -e "$root/usr/lib/posdx/pending" ] && ok "upgraded unattended, the new program runs and is proven" || die "not so: upgraded unattended, the new program runs and is proven"
	# Nothing could become well with this: the socket has no folder that posdx may write.
	printf '%s[hook]\nsocket = "/etc/hook.sock"\n' "$config" >"$root/etc/posdx/posdx.toml"
	! inside env POSDX_BOUND=8 dpkg -i /root/1.deb </dev/null >"$base/said" 2>&1 || die "a program that is not well was kept"
	grep -q "taken back" "$base/said" && inside posdx version | grep -q 2.0.0 && ok "one that is not well is taken back" || die "not taken back: $(cat "$base/said")"
	printf '%s' "$config" >"$root/etc/posdx/posdx.toml"
	inside systemctl reset-failed posdx || :
	inside systemctl restart posdx
	inside posdx selfcheck --live 30 >/dev/null && ok "put right, the old one runs" || die "not so: put right, the old one runs"
	inside dpkg -i /root/2.deb </dev/null >/dev/null 2>&1 || die "again"
	inside posdx selfcheck --live 30 >/dev/null

	was=$(get NRestarts)
	inside sh -c "kill -9 $(get MainPID)"
	until_is "killed, it comes back" NRestarts $((was + 1))
	until_is "and is ready" ActiveState active
	inside sh -c "kill -STOP $(get MainPID)"
	until_is "hanging, it is ended by the watchdog and comes back" NRestarts $((was + 2))
	until_is "and is ready" ActiveState active
	inside sh -c 'echo "nonsense = 1" >>/etc/posdx/posdx.toml; systemctl restart posdx 2>/dev/null' || :
	until_is "a wrong configuration ends it" ExecMainStatus 78
	sleep 7
	until_is "and it is not started again" NRestarts 0
	inside sh -c 'sed -i "/^nonsense/d" /etc/posdx/posdx.toml; systemctl restart posdx'
	until_is "put right, it starts" ActiveState active
	inside dpkg --purge posdx >/dev/null 2>&1
	[ "$(get ActiveState)" = inactive ] && ! grep -q posdx "$root/etc/passwd" && [ ! -e "$root/var/lib/posdx" ] && ok "purged" || die "purge"
}

fleet() {
	root=$base/fleet
	fetch "$root" systemd,systemd-sysv,dbus
	chroot "$root" dpkg --purge --force-all posdx-fleet >/dev/null 2>&1 || :
	rm -rf "$root/var/lib/posdx-fleet" "$root/var/log/journal" # what an earlier run said is not waited for
	for v in 1.0.0 2.0.0; do
		[ -f "$base/fleet-$v/posdx-fleet-$v-$arch.deb" ] ||
			(cd "$here/.." && DIST=$base/fleet-$v GO=$go sh firmware-build/package-fleet.sh $v "$arch" >/dev/null) || die "no package of the fleet view $v"
		cp "$base/fleet-$v/posdx-fleet-$v-$arch.deb" "$root/root/fleet-$v.deb"
	done
	boot posdx-fleet
	until_says() { # what it is, text in its journal
		for _ in $(seq 60); do
			inside journalctl -u posdx-fleet --no-pager | grep -q "$2" && { ok "$1"; return; }
			sleep 1
		done
		inside journalctl -u posdx-fleet --no-pager | tail -20 >&2
		die "$1: nothing says $2"
	}
	up() { # it takes connections of people: the head of the page to sign in
		inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET /login HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && head -1 <&3' 2>/dev/null | grep -q ' 200 '
	}
	for _ in $(seq 30); do
		inside systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded' && break
		sleep 1
	done
	inside dpkg -i /root/fleet-1.0.0.deb </dev/null >"$base/said" 2>&1 || die "fresh: $(cat "$base/said")"
	[ "$(get ActiveState)" = inactive ] && ok "fresh: installed, not started" || die "fresh: $(get ActiveState)"
	inside systemctl start posdx-fleet || die "start"
	until_says "the first start writes the link that makes the first account" 'first?link='
	until_says "it is ready" 'fleet view ready'
	up && ok "it shows the page to sign in" || die "no page"
	pid=$(get MainPID)
	inside sh -c "grep -q '^CapEff:.*0000000000000400' /proc/$pid/status" && ok "it may open low ports, and nothing more" || die "capabilities: $(inside grep Cap /proc/$pid/status)"
	[ "$(inside stat -c %U:%a /var/lib/posdx-fleet)" = posdx-fleet:700 ] && ok "its folder is its own" || die "folder: $(inside stat -c %U:%a /var/lib/posdx-fleet)"
	ok "exposure: $(inside systemd-analyze security posdx-fleet --no-pager | sed -n 's/.*exposure level for posdx-fleet.service: //p')"
	inside sh -c "kill -9 $pid"
	for _ in $(seq 60); do [ "$(get NRestarts)" = 1 ] && up && break; sleep 1; done
	[ "$(get NRestarts)" = 1 ] && up && ok "killed, it comes back" || die "not back: $(get NRestarts) $(get ActiveState)"
	inside dpkg -i /root/fleet-2.0.0.deb </dev/null >"$base/said" 2>&1 || die "upgrade: $(cat "$base/said")"
	for _ in $(seq 60); do up && break; sleep 1; done
	up && inside posdx-fleet version | grep -q 2.0.0 && ok "upgraded, the new program runs over the same store" || die "upgrade"
	inside sh -c 'echo POSDX_FLEET_OPTIONS=\"--broker http://x\" >/etc/default/posdx-fleet; systemctl restart posdx-fleet' || :
	until_says "a wrong option is named, in whatever language" 'serve: .*"http://x"'
	inside sh -c ': >/etc/default/posdx-fleet; systemctl reset-failed posdx-fleet; systemctl restart posdx-fleet'
	for _ in $(seq 60); do up && break; sleep 1; done
	up && ok "put right, it starts" || die "not put right"
	inside dpkg --purge posdx-fleet >"$base/said" 2>&1 || die "purge: $(cat "$base/said")"
	[ "$(get ActiveState)" = inactive ] && [ -d "$root/var/lib/posdx-fleet" ] && [ ! -e "$root/etc/posdx-fleet" ] && ok "purged, what was reported stays" || die "purge"
	kill -9 "$init" 2>/dev/null || :
	wait $guard 2>/dev/null || :
	trap - EXIT
}

case $only in
fleet) fleet ;;
sysv) sysv ;;
systemd) systemd ;;
*) sysv; systemd; fleet ;;
esac
