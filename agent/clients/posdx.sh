#!/bin/sh
# A script's way to posdx where posdx itself is not at hand ("posdx report --code 96 --origin host" does the same and prints
# text): tells a response code and prints the first verdict as JSON. It needs timeout, and socat or, over HTTP, curl.
#
#   posdx.sh 96 host 000123
#   posdx.sh verdict 00007c-000000012f
#   POSDX_HTTP=127.0.0.1:7379 POSDX_TOKEN_FILE=/etc/posdx/hook.token posdx.sh 96 host 000123
#
# Never give a card number, an amount or a name. Exit 0: there is a verdict; 1: posdx is not there, does not answer or refuses; 2: wrong
# usage; 3: taken in and not explained yet. What was taken in is kept and is explained: do not tell it again, ask for the verdict by the
# id that was printed.
set -eu
case $#${1:-} in
3*|2verdict) ;;
*) printf 'usage: %s\n' "posdx.sh CODE host|terminal|cashier|unknown STAN" "posdx.sh verdict ID" >&2; exit 2 ;;
esac
for word; do
	case $word in *[!0-9A-Za-z._+:-]*) echo "posdx.sh: only letters, digits and . _ - + : may stand in a word" >&2; exit 2 ;; esac
done
if [ $# = 2 ]; then
	request=$(printf '{"type":"verdict","id":"%s"}' "$2")
else
	request=$(printf '{"type":"code","code":"%s","origin":"%s","txn":{"stan":"%s"},"wait":"first"}' "$1" "$2" "$3")
fi
if [ -n "${POSDX_HTTP:-}" ]; then
	# The token goes in by a file: arguments are seen by everybody.
	answer=$(printf 'header = "Authorization: Bearer %s"\n' "$(sed 's/[\\"]/\\&/g' "$POSDX_TOKEN_FILE")" |
		curl -sS --max-time 2 --noproxy '*' -K - -H 'Content-Type: application/json' --data-binary "$request" "http://$POSDX_HTTP/v1/hook" | head -c 1048576)
else
	answer=$(printf '%s\n' "$request" | timeout 3 socat -t 2 - UNIX-CONNECT:"${POSDX_SOCKET:-/run/posdx/hook.sock}" | head -c 1048576)
fi
[ -n "$answer" ] || exit 1
printf '%s\n' "$answer"
case $answer in
*'"verdict":'*) ;;
*'"result":"accepted"'*) exit 3 ;;
*) exit 1 ;;
esac
