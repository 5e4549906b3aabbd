#!/bin/sh
# Packs dist/posdx-ARCH into tar.gz (with install.sh), deb and ipk. Arguments: version, architectures.
set -eu
version=$1
shift
kit=firmware-build
# What git describes as 1.2-3-gabc came after 1.2, and must sort so; a hash or "dev" comes before every release.
plain=$(echo "${version#v}" | sed 's/-\([0-9]*\)-g/+\1.g/; s/[^A-Za-z0-9.+]/./g')
case $plain in
[0-9]*.[0-9]*) ;;
*) plain=0.0.0+$plain ;;
esac
# Manual pages and completion come from the program's own table of commands.
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
GOOS= GOARCH= GOARM= "${GO:-go}" build -buildvcs=false -ldflags "-X main.version=$version" -o "$share/posdx" ./agent
"$share/posdx" man --dir "$share/man1"
gzip -9n "$share"/man1/*.1
for shell in bash zsh fish; do "$share/posdx" completion $shell >"$share/posdx.$shell"; done
for arch in "$@"; do
	name=posdx-$plain-$arch
	tmp=$(mktemp -d)
	mkdir "$tmp/$name"
	install -m 755 "dist/posdx-$arch" "$tmp/$name/posdx"
	install -m 755 $kit/install.sh $kit/uninstall.sh $kit/posdx.init "$tmp/$name"
	install -m 644 $kit/posdx.service $kit/posdx-relay@.service $kit/posdx.toml $kit/README.md "$tmp/$name"
	(cd "$tmp/$name" && sha256sum posdx install.sh uninstall.sh posdx.init posdx.service posdx-relay@.service posdx.toml >SHA256SUMS)
	tar -C "$tmp" --owner=0 --group=0 --sort=name --mtime='2026-01-01 00:00Z' -cf - "$name" | gzip -9n >"dist/$name.tar.gz"
	rm -rf "$tmp"
	echo "dist/$name.tar.gz"
	case $arch in
	armv5) goarch=arm5 ;;
	armv6) goarch=arm6 ;;
	armv7) goarch=arm7 ;;
	*) goarch=$arch ;;
	esac
	for format in deb ipk; do
		VERSION=$plain ARCH=$goarch BINARY=dist/posdx-$arch SHARE=$share "${GO:-go}" run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4 \
			package --config $kit/nfpm.yaml --packager $format --target "dist/$name.$format" >/dev/null ||
			{ echo "$format: nfpm could not be fetched or failed; the tar.gz is complete without it" >&2; continue; }
		echo "dist/$name.$format"
	done
done
