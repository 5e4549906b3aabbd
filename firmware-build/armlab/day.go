package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// credentials makes a certificate authority, and keys and certificates of the fleet's side and of the terminal.
func credentials(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return shell(`cd "$1"
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
sign() { openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile $1.ext -out $1.pem; }
key ca && openssl req -x509 -new -key ca.key -days 3650 -subj /CN=lab -out ca.pem
echo subjectAltName=IP:10.64.0.1 >fleet.ext
echo extendedKeyUsage=clientAuth >arm.ext
for n in fleet arm; do key $n && openssl req -new -key $n.key -subj /OU=lab/CN=$n -out $n.csr && sign $n; done`, dir)
}

// dayConfig is a terminal on a SIM that is paid by the byte, as README says to set it up.
const dayConfig = `language = "en"
estate = "lab"
terminal = "arm"
state_dir = "/tmp/state"
[hook]
socket = "/tmp/run/hook.sock"
[network]
interfaces = ["wwan0"]
metered = ["wwan0"]
resolvers = ["10.64.0.1"]
[[target]]
name = "host-primary"
host = "10.64.0.1"
port = 5000
[storage]
paths = ["/tmp"]
[broker]
url = ["ssl://10.64.0.1:8883"]
ca = "/pkg/keys/ca.pem"
cert = "/pkg/keys/arm.pem"
key = "/pkg/keys/arm.key"
keepalive = "15m"
compress = true
`

// farSide makes a network of its own in the same guest, 10.64.0.1, at the far end of wwan0; far runs a command there.
const farSide = `/lab/load
unshare -n sleep 1000000 & p=$!; echo $p >/tmp/far; sleep 1
ip link add wwan0 type veth
far0=$(ls /sys/class/net | grep veth) && ip link set $far0 netns $p || exit 1
ifconfig wwan0 10.64.0.2 netmask 255.255.255.0 up
far() { nsenter -t $p -n "$@"; }
far ifconfig lo up && far ifconfig $far0 10.64.0.1 netmask 255.255.255.0 up || exit 1
`

// The far end has the fleet view and somebody who takes the host's calls. Nothing here is on the disk: while a disk
// works the guest waits, and its clock would jump.
const dayStart = farSide + `ifconfig eth0 down; route add default gw 10.64.0.1
mkdir -p /tmp/state /tmp/run /tmp/fleet && cp /pkg/1.0.0/posdx /pkg/posdx-fleet /tmp && cp -r /pkg/keys /tmp && cat /tmp/posdx /tmp/posdx-fleet >/dev/null
(far nc -lk -p 5000 -e /bin/true >/dev/null 2>&1 &)
(far /tmp/posdx-fleet serve --data /tmp/fleet --lang en --mqtt-listen 10.64.0.1:8883 --mqtt-cert /tmp/keys/fleet.pem --mqtt-key /tmp/keys/fleet.key --mqtt-ca /tmp/keys/ca.pem >/tmp/fleet.log 2>&1 &)
i=0; until grep -q ready /tmp/fleet.log || [ $i -gt 60 ]; do sleep 1; i=$((i+1)); done
sed -i s#/pkg/keys#/tmp/keys# /tmp/posdx.toml
(GOMAXPROCS=1 GOGC=25 GODEBUG=asyncpreemptoff=1 /tmp/posdx run --config /tmp/posdx.toml >/tmp/posdx.log 2>&1 &)
`

// connected waits for the fleet; sold reports a code and waits until the fleet has the diagnosis.
const (
	asked     = `/tmp/posdx status --json --socket /tmp/run/hook.sock`
	connected = `i=0; until ` + asked + ` | grep -q '"connected": *true'; do ` +
		`sleep 1; i=$((i+1)); [ $i -lt 100 ] || exit 1; done`
	sold = `/tmp/posdx report --code 96 --origin host --lang en --socket /tmp/run/hook.sock >/dev/null; [ $? != 1 ] && ` +
		`until ` + asked + ` | grep -q '"waiting": *0'; do sleep 1; done; sleep 60`
)

// onTheLine prints bytes of IP and packets, both ways together, over what leaves the terminal, and its time since boot
// in seconds. The kernel's counters hold 14 bytes of Ethernet a packet, which a SIM has not.
const onTheLine = `awk '/(eth|wwan)0:/ {b += $2 + $10; p += $3 + $11} END {printf "%d %d ", b - 14 * p, p}' /proc/net/dev
cut -d. -f1 /proc/uptime`

// dayBudget is what a healthy day may cost on a metered SIM, in bytes.
const dayBudget = 100_000

// day measures what a day of a healthy terminal costs on a metered SIM with the real fleet view behind it: TLS with
// certificates on both sides, a keep-alive every 15 minutes, what the fleet answers. Nothing is sold and nothing
// breaks; at the end one code is reported.
func day(ctx context.Context, l *lab) (string, error) {
	if err := l.brokerOn(ctx); err != nil {
		return "", err
	}
	if err := l.boot(ctx, options{fresh: true, alone: true, warp: true, append: "lab.noposdx"}); err != nil {
		return "", err
	}
	if err := errors.Join(l.give("/tmp/posdx.toml", dayConfig), l.give("/tmp/start", dayStart)); err != nil {
		return "", err
	}
	if out, err := l.order(10*minute, "sh /tmp/start; "+connected); err != nil {
		log, _ := l.order(minute, "tail -5 /tmp/fleet.log /tmp/posdx.log")
		return "", fmt.Errorf("%w: %s\n%s", err, out, log)
	}
	look := func(after string) ([]float64, error) {
		out, err := l.order(30*minute, after+"; "+onTheLine)
		n := numbers(out)
		if err == nil && len(n) != 3 {
			err = fmt.Errorf("no numbers: %s", out)
		}
		return n, err
	}
	begin, err := look("sleep 60")
	if err != nil {
		return "", err
	}
	now := begin
	for hour := range l.hours {
		if now, err = look("sleep 3600"); err != nil {
			return "", err
		}
		fmt.Fprintf(os.Stderr, "armlab: day: hour %d: %.0f bytes, %.0f packets since the start\n", hour+1, now[0], now[1])
	}
	hours := (now[2] - begin[2]) / 3600
	whole := begin[0] + (now[0]-begin[0])/hours*24
	if whole > dayBudget {
		return "", fmt.Errorf("a day is %.0f bytes, more than %d", whole, dayBudget)
	}
	after, err := look(sold)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("connecting and the first minute %.0f bytes in %.0f packets, then %.0f in %.0f in %.1f hours: a day is %.1f kB; "+
		"a code with its diagnosis and what the fleet answers %.0f bytes", begin[0], begin[1], now[0]-begin[0], now[1]-begin[1], hours, whole/1000,
		after[0]-now[0]), nil
}
