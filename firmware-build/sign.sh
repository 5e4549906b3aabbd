#!/bin/sh
# Signs the sums of everything in a folder with an ed25519 key, by openssl: SHA256SUMS and SHA256SUMS.sig.
set -eu
dir=$1 key=${2:?usage: make sign KEY=ed25519.pem}
cd "$dir"
find . -maxdepth 1 -type f \( -name '*.tar.gz' -o -name '*.deb' -o -name '*.ipk' -o -name '*.apk' -o -name '*.json' \) | sed 's#^\./##' | LC_ALL=C sort >.files
[ -s .files ] || { echo "sign: no packages in $dir: make package" >&2; exit 1; }
xargs sha256sum <.files >SHA256SUMS
rm .files
openssl pkeyutl -sign -rawin -inkey "$key" -in SHA256SUMS -out SHA256SUMS.sig
openssl pkey -in "$key" -pubout -out posdx.pub
openssl pkeyutl -verify -rawin -pubin -inkey posdx.pub -in SHA256SUMS -sigfile SHA256SUMS.sig >/dev/null
echo "$dir/SHA256SUMS.sig, public key $dir/posdx.pub"
