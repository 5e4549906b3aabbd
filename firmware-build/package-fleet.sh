#!/bin/sh
# Packs posdx-fleet into a deb for each architecture given (amd64 arm64), into dist/. Arguments: version, architectures.
# The same source gives the same bytes. DIST is another folder than dist, NFPM a packager that is there already.
set -eu
version=$1
shift
dist=${DIST:-dist}
kit=firmware-build
go=${GO:-go}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
umask 022
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$dist"
nfpm=${NFPM:-$tmp/bin/nfpm}
[ -n "${NFPM:-}" ] || GOBIN=$tmp/bin "$go" install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4 ||
	{ echo "package-fleet: nfpm cannot be had through the module proxy" >&2; exit 1; }
"$go" build -o "$tmp/bom" ./$kit/bom

cat >"$tmp/postinst" <<'S'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
	getent passwd posdx-fleet >/dev/null || useradd --system --user-group --home-dir /var/lib/posdx-fleet --shell /usr/sbin/nologin posdx-fleet
	install -d -m 750 -o root -g posdx-fleet /etc/posdx-fleet
	install -d -m 700 -o posdx-fleet -g posdx-fleet /var/lib/posdx-fleet
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
		# A new one waits for its options; one that runs is taken over by the new release.
		[ -z "$2" ] || systemctl try-restart posdx-fleet.service
	fi
fi
S
cat >"$tmp/prerm" <<'S'
#!/bin/sh
set -e
[ "$1" != remove ] || [ ! -d /run/systemd/system ] || systemctl --no-reload disable --now posdx-fleet.service
S
cat >"$tmp/postrm" <<'S'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
# What the terminals reported, accounts and keys are not thrown away with a program: /var/lib/posdx-fleet stays.
[ "$1" != purge ] || { rm -rf /etc/posdx-fleet; [ ! -d /var/lib/posdx-fleet ] || echo "posdx-fleet: 保留 / kept: /var/lib/posdx-fleet" >&2; }
S

for arch in "$@"; do
	name=posdx-fleet-$version-$arch
	dir=$tmp/$name
	mkdir "$dir"
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$go" build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$version" -o "$dir/posdx-fleet" ./fleet
	"$tmp/bom" -program "$dir/posdx-fleet" -version "$version" -licences "$dir/copyright" -cyclonedx "$dist/$name.cdx.json" -spdx "$dist/$name.spdx.json"
	install -m 644 $kit/posdx-fleet.service $kit/posdx-fleet.default fleet/README.md "$dir"
	"$go" run ./fleet rules >"$dir/rules.yml"
	"$go" run ./fleet dashboard >"$dir/dashboard.json"
	find "$dir" "$tmp/postinst" "$tmp/prerm" "$tmp/postrm" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	file() { echo "  - {src: \"$dir/$1\", dst: \"$2\", file_info: {mode: $3, owner: root, group: root}$4}"; }
	cat >"$tmp/nfpm.yaml" <<-Y
		name: posdx-fleet
		arch: $arch
		platform: linux
		version: "$version"
		version_schema: none
		section: admin
		priority: optional
		maintainer: posdx maintainers <posdx@localhost>
		license: Apache-2.0
		homepage: ""
		mtime: "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
		description: shows what is wrong with which payment terminals, and why
		depends: [passwd]
		recommends: [ca-certificates]
		contents:
		$(file posdx-fleet /usr/bin/posdx-fleet 0755 '')
		$(file posdx-fleet.service /usr/lib/systemd/system/posdx-fleet.service 0644 '')
		$(file posdx-fleet.default /etc/default/posdx-fleet 0644 ', type: config|noreplace')
		$(file README.md /usr/share/doc/posdx-fleet/README.md 0644 '')
		$(file copyright /usr/share/doc/posdx-fleet/copyright 0644 '')
		$(file rules.yml /usr/share/posdx-fleet/prometheus-rules.yml 0644 '')
		$(file dashboard.json /usr/share/posdx-fleet/grafana-dashboard.json 0644 '')
		scripts: {postinstall: $tmp/postinst, preremove: $tmp/prerm, postremove: $tmp/postrm}
		deb: {arch: $arch, compression: xz}
	Y
	sed -i 's/, type: config|noreplace}/, type: "config|noreplace"}/; s/group: root}, type/group: root}, type/' "$tmp/nfpm.yaml"
	"$nfpm" package --config "$tmp/nfpm.yaml" --packager deb --target "$tmp/out.deb" >"$tmp/said" 2>&1 ||
		{ cat "$tmp/said" >&2; echo "package-fleet: deb of $arch failed" >&2; exit 1; }
	mv "$tmp/out.deb" "$dist/$name.deb"
	echo "$dist/$name.deb"
done
