#!/bin/sh
# The lab on a real kernel: Debian's ARMv7 kernel in qemu with a disk, real UART and USB-serial drivers, and posdx
# installed from its own tar. Kernel and programs to compare with are fetched once into dist/armlab by an apt of their own;
# nothing is installed here. Needs qemu-system-arm, kmod, cpio, e2fsprogs, nbdkit, mosquitto, openssl (Debian packages) and apt.
#   lab-arm.sh [arguments of armlab, such as -only upgrade-cut -cuts 10]
set -eu
for c in qemu-system-arm depmod cpio mkfs.ext4 nbdkit mosquitto openssl; do
	command -v $c >/dev/null || { echo "lab-arm: $c is missing; Debian packages qemu-system-arm kmod cpio e2fsprogs nbdkit mosquitto openssl" >&2; exit 1; }
done
go=${GO:-go}
w=$(pwd)/dist/armlab
a=$w/apt
others="busybox-static zabbix-agent2 prometheus-node-exporter collectd-core libmosquitto1 monit snmpd snmp ppp"
fetched=$w/.fetched-$(echo "$others" | cksum | cut -d' ' -f1)
if [ ! -f "$fetched" ]; then
	rm -rf "$w"
	mkdir -p "$a/etc/apt/apt.conf.d" "$a/etc/apt/preferences.d" "$a/var/lib/dpkg" "$a/var/lib/apt/lists/partial" "$a/var/cache/apt/archives/partial" "$w/deb"
	: >"$a/var/lib/dpkg/status"
	# The mirror that this machine already uses, whatever form its list has.
	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] *)?([^ ]+).*/\2/p' | head -1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" >"$a/etc/apt/sources.list"
	o="-o APT::Architecture=armhf -o APT::Architectures=armhf -o Dir=$a -o Dir::State::status=$a/var/lib/dpkg/status -o APT::Sandbox::User=root"
	# shellcheck disable=SC2086 # words
	{
		apt-get $o -q update
		image=$(apt-cache $o depends linux-image-armmp | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -1)
		(cd "$w/deb" && apt-get $o -q download "$image")
		apt-get $o -q -y --no-install-recommends -d install $others
	} >"$w/fetch.log" 2>&1 || { tail -3 "$w/fetch.log" >&2; exit 1; }
	dpkg -x "$w"/deb/linux-image-*.deb "$w/kernel"
	depmod -b "$w/kernel" "$(ls "$w/kernel/lib/modules")"
	for d in "$a"/var/cache/apt/archives/*.deb; do
		case $d in
		*/perl* | */libperl* | */usrmerge* | */dpkg_* | */tar_* | */passwd* | */adduser* | */debconf*) ;; # needed to install, not to run
		*) dpkg -x "$d" "$w/others" ;;
		esac
	done
	# snmpd is linked with perl's library.
	for d in "$a"/var/cache/apt/archives/libperl5*.deb; do dpkg -x "$d" "$w/others"; done
	touch "$fetched"
fi
# telegraf is no Debian package: TELEGRAF=v1.37.2 builds it with only the inputs and the output that are compared.
if [ -n "${TELEGRAF:-}" ] && [ ! -x "$w/others/usr/bin/telegraf" ]; then
	src=$(cd / && "$go" mod download -json "github.com/influxdata/telegraf@$TELEGRAF" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	(cd "$src" && CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 "$go" build -buildvcs=false -trimpath -ldflags '-s -w' \
		-tags custom,inputs.cpu,inputs.mem,inputs.disk,inputs.net,outputs.mqtt,serializers.influx -o "$w/others/usr/bin/telegraf" ./cmd/telegraf)
fi
for v in 1.0.0 2.0.0; do
	mkdir -p "$w/$v"
	CGO_ENABLED=0 GOEXPERIMENT=nogreenteagc GOOS=linux GOARCH=arm GOARM=7 "$go" build -buildvcs=false -trimpath -gcflags=all=-l -tags nethttpomithttp2 -ldflags "-s -w -X main.version=$v" -o "$w/$v/posdx-armv7" ./agent
	DIST=$w/$v sh firmware-build/package.sh $v armv7 >/dev/null
done
CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7 "$go" build -buildvcs=false -trimpath -ldflags "-s -w" -o "$w/posdx-fleet" ./fleet
"$go" run ./firmware-build/armlab -work "$w" "$@"
