#!/bin/sh
# Tells posdx a response code and prints its first verdict as JSON. Where posdx itself is at hand,
# "posdx report --code 96 --origin host" does the same and prints text.
#
#   hook.sh 96 host 000123
set -eu
[ $# = 3 ] || { echo "usage: hook.sh CODE host|terminal|cashier|unknown STAN" >&2; exit 2; }
case "$1$2$3" in *[\"\\]*) echo "hook.sh: quotes and backslashes are not for this script" >&2; exit 2 ;; esac
printf '{"type":"code","code":"%s","origin":"%s","txn":{"stan":"%s"},"wait":"first"}\n' "$1" "$2" "$3" |
	socat -t 5 - UNIX-CONNECT:"${POSDX_SOCKET:-/run/posdx/hook.sock}"
