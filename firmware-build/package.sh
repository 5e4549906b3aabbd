#!/bin/sh
# Packs dist/posdx-ARCH into tar.gz, deb, ipk and apk, with a bill of materials beside them. Arguments: version,
# architectures. The same source gives the same bytes, wherever it lies: every file's time is the commit's.
# DIST is another folder than dist, NFPM a packager that is there already.
# IPK_armv7=… and so on name the architecture as the opkg.conf of the terminals does.
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
nfpm=${NFPM:-$tmp/bin/nfpm}
[ -n "${NFPM:-}" ] || GOBIN=$tmp/bin "$go" install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4 ||
	{ echo "package: nfpm cannot be had through the module proxy" >&2; exit 1; }
"$go" build -trimpath -o "$tmp/bom" ./$kit/bom
# Manual pages and completion come from the program's own table of commands; only Debian's packages have room for them.
"$go" build -buildvcs=false -trimpath -ldflags "-X main.version=$version" -o "$tmp/here" ./agent
"$tmp/here" man --lang en --dir "$tmp/man1"
"$tmp/here" man --lang zh --dir "$tmp/zh_CN"
gzip -9n "$tmp"/man1/*.1 "$tmp"/zh_CN/*.1
for shell in bash zsh fish; do "$tmp/here" completion $shell >"$tmp/posdx.$shell"; done
shared() {
	file() { echo "  - {src: \"$tmp/$1\", dst: \"/usr/share/$2\", file_info: {mode: 0644, owner: root, group: root}}"; }
	for page in "$tmp"/man1/*; do
		file "man1/${page##*/}" "man/man1/${page##*/}"
		file "zh_CN/${page##*/}" "man/zh_CN/man1/${page##*/}"
	done
	file posdx.bash bash-completion/completions/posdx
	file posdx.zsh zsh/vendor-completions/_posdx
	file posdx.fish fish/vendor_completions.d/posdx.fish
}
"$go" build -trimpath -o "$tmp/apkorder" ./$kit/apkorder

for arch in "$@"; do
	name=posdx-$version-$arch
	dir=$tmp/$name
	mkdir "$dir"
	install -m 755 "$dist/posdx-$arch" "$dir/posdx"
	install -m 755 $kit/setup.sh "$dir/setup"
	install -m 755 $kit/install.sh "$dir/install.sh"
	(cd $kit && install -m 644 posdx.init posdx.procd posdx.openrc posdx.service posdx-relay@.service posdx.rules first.toml README.md "$dir")
	install -m 644 $kit/posdx.toml "$dir/posdx.toml.example"
	"$tmp/bom" -program "$dir/posdx" -version "$version" -licences "$dir/licences.txt" -cyclonedx "$dist/$name.cdx.json" -spdx "$dist/$name.spdx.json"
	gzip -9n "$dir/licences.txt"
	(cd "$dir" && sha256sum posdx setup posdx.init posdx.procd posdx.openrc posdx.service posdx-relay@.service posdx.rules first.toml posdx.toml.example licences.txt.gz >SHA256SUMS)
	find "$dir" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	tar -C "$tmp" --owner=0 --group=0 --numeric-owner --sort=name --format=ustar -cf - "$name" | gzip -9n >"$dist/$name.tar.gz"
	echo "$dist/$name.tar.gz"

	kb=$((($(wc -c <"$dir/posdx") + 1023) / 1024))
	for format in deb ipk apk; do
		# What each calls the processor. Alpine was never built for ARMv5. In apk's versions a plus is not allowed.
		v=$version
		case $format-$arch in
		deb-armv5) a=armel ;;
		deb-armv6 | deb-armv7) a=armhf ;;
		deb-*) a=$arch ;;
		ipk-armv5) a=${IPK_armv5:-arm_arm926ej-s} ;;
		ipk-armv6) a=${IPK_armv6:-arm_arm1176jzf-s_vfp} ;;
		ipk-armv7) a=${IPK_armv7:-arm_cortex-a7_neon-vfpv4} ;;
		ipk-arm64) a=${IPK_arm64:-aarch64_generic} ;;
		apk-armv5) continue ;;
		apk-armv6) a=armhf ;;
		apk-armv7) a=armv7 ;;
		apk-arm64) a=aarch64 ;;
		ipk-amd64 | apk-amd64) a=x86_64 ;;
		*) a=$arch ;;
		esac
		[ $format != apk ] || v=$(echo "$version" | sed 's/+\([0-9]*\).*/_p\1/; s/~.*/_rc/')
		# The packages' scripts are the same setup, called as their managers call them.
		for script in preinst postinst prerm postrm; do
			{ sed '$d' $kit/setup.sh; echo "maintain $format $script $kb \"\$@\""; } >"$tmp/$script"
			touch -d "@$SOURCE_DATE_EPOCH" "$tmp/$script"
		done
		cat >"$tmp/nfpm.yaml" <<-Y
			name: posdx
			arch: $a
			platform: linux
			version: "$v"
			version_schema: none
			section: misc
			priority: optional
			maintainer: posdx maintainers <posdx@localhost>
			license: Apache-2.0
			homepage: ""
			mtime: "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
			description: finds out why a payment terminal could not complete a sale
			contents:
			$(cd "$dir" && for f in *; do
				[ "$f" = install.sh ] || [ "$f" = README.md ] || echo "  - {src: \"$dir/$f\", dst: \"/usr/lib/posdx/$f\", file_info: {mode: $(case $f in posdx | setup) echo 0755 ;; *) echo 0644 ;; esac), owner: root, group: root}}"
			done)
			$([ $format != deb ] || shared)
			scripts: {preinstall: $tmp/preinst, postinstall: $tmp/postinst, preremove: $tmp/prerm, postremove: $tmp/postrm}
			deb: {arch: $a, compression: xz}
			ipk: {arch: $a}
			apk:
			  arch: $a
			  scripts: {preupgrade: $tmp/preinst, postupgrade: $tmp/postinst}
		Y
		[ $format != ipk ] || sed -i '/^homepage/d' "$tmp/nfpm.yaml"
		"$nfpm" package --config "$tmp/nfpm.yaml" --packager $format --target "$tmp/out.$format" >"$tmp/said" 2>&1 ||
			{ cat "$tmp/said" >&2; echo "package: $format of $arch failed" >&2; exit 1; }
		[ $format != apk ] || "$tmp/apkorder" "$tmp/out.apk"
		mv "$tmp/out.$format" "$dist/$name.$format"
		echo "$dist/$name.$format"
	done
done
