package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An other is a program that a vendor would install otherwise, with as little to do as its configuration lets it.
type other struct {
	name, start string // start puts it into the background
	process     string
	ready       string // a shell's condition that it does what it is for
	ask         string // what its server asks it every minute, from the far end; empty if it speaks of itself
}

// Every one of them watches this machine. posdx, collectd and telegraf publish to the broker, the last two every ten
// seconds as they do unless told; the others are asked every minute for processor, memory, disk and network.
var others = []other{
	{name: "posdx", start: "/etc/init.d/posdx start", process: "posdx", ready: "[ -S /run/posdx/hook.sock ]"},
	{name: "zabbix-agent2", process: "zabbix_agent2", ready: "grep -q :2742 /proc/net/tcp /proc/net/tcp6",
		start: `mkdir -p /tmp/z /run/zabbix && printf 'Server=10.64.0.1\nHostname=t\nLogType=console\nPidFile=/tmp/z/pid\nPluginSocket=/tmp/z/s\nControlSocket=/tmp/z/c\n' >/tmp/z/c.conf && (/usr/sbin/zabbix_agent2 -f -c /tmp/z/c.conf >/tmp/z/log 2>&1 &)`,
		// Its protocol: a head with the length in eight bytes, then the key.
		ask: `for k in agent.ping system.cpu.load vm.memory.size[available] 'vfs.fs.size[/,pfree]' net.if.in[eth0] net.if.out[eth0]; do
printf "ZBXD\001\\$(printf %03o ${#k})\000\000\000\000\000\000\000$k" | nc -w 10 10.64.0.2 10050; done`},
	{name: "node_exporter", process: "prometheus-node-exporter", ready: "grep -q :238C /proc/net/tcp",
		start: `(/usr/bin/prometheus-node-exporter --web.listen-address=10.64.0.2:9100 >/tmp/node.log 2>&1 &)`,
		ask:   `wget -qO- http://10.64.0.2:9100/metrics`},
	{name: "collectd", process: "collectd", ready: "grep -q :075B /proc/net/tcp",
		start: `printf 'FQDNLookup false\nInterval 10\nBaseDir "/tmp"\nPluginDir "/usr/lib/collectd"\nTypesDB "/usr/share/collectd/types.db"\nLoadPlugin cpu\nLoadPlugin memory\nLoadPlugin df\nLoadPlugin interface\nLoadPlugin mqtt\n<Plugin mqtt>\n<Publish "p">\nHost "10.0.2.100"\nPort 1883\nClientId "c"\n</Publish>\n</Plugin>\n' >/tmp/collectd.conf && (/usr/sbin/collectd -f -C /tmp/collectd.conf >/tmp/collectd.log 2>&1 &)`},
	{name: "telegraf", process: "telegraf", ready: "grep -q :075B /proc/net/tcp",
		start: `printf '[agent]\n interval = "10s"\n quiet = true\n[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.disk]]\n[[inputs.net]]\n[[outputs.mqtt]]\n servers = ["tcp://10.0.2.100:1883"]\n topic = "t"\n' >/tmp/telegraf.conf && (/usr/bin/telegraf --config /tmp/telegraf.conf >/tmp/telegraf.log 2>&1 &)`},
	{name: "monit", process: "monit", ready: "[ -s /tmp/monit.state ]",
		start: `printf 'set daemon 30\nset idfile /tmp/monit.id\nset statefile /tmp/monit.state\nset log /tmp/monit.log\nset httpd port 2812\n use address 10.64.0.2\n allow 10.64.0.1\ncheck system t\n if memory usage > 90%% then alert\ncheck filesystem r with path /\n if space usage > 90%% then alert\ncheck network e interface eth0\n' >/tmp/monitrc && chmod 600 /tmp/monitrc && (/usr/bin/monit -I -c /tmp/monitrc >/dev/null 2>&1 &)`,
		ask:   `wget -qO- 'http://10.64.0.2:2812/_status?format=xml'`},
	{name: "snmpd", process: "snmpd", ready: "grep -q :0489 /proc/net/udp",
		start: `mkdir -p /var/lib/snmp && printf 'agentaddress udp:10.64.0.2:1161\nrocommunity public\n' >/tmp/snmpd.conf && (/usr/sbin/snmpd -f -LE 3 -C -c /tmp/snmpd.conf >/tmp/snmpd.log 2>&1 &)`,
		// Load, memory, disks and interfaces.
		ask: `for o in 1.3.6.1.4.1.2021.10.1.3 1.3.6.1.4.1.2021.4 1.3.6.1.2.1.25.2.3 1.3.6.1.2.1.2.2; do snmpbulkwalk -m '' -v 2c -c public 10.64.0.2:1161 $o; done`},
}

const (
	rest  = 45 * time.Second // how long each is left alone, after which posdx has given back what starting needed
	watch = 45 * time.Second // how long it is watched then, the looks themselves apart
	looks = 9                // at its memory meanwhile, of which the middle one counts
	asks  = 2                // of its server
)

// measure runs them one after the other in the same guest and prints a table.
func measure(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{alone: true}); err != nil {
		return "", err
	}
	if err := l.give("/tmp/farside", farSide); err != nil {
		return "", err
	}
	// Nothing is at the far ends here, and a console that nobody reads is waited for.
	if _, err := l.order(3*minute, `sh /tmp/farside && sed -i '/^\[\[reader/,/^\[network/{/^\[network/!d}; /^\[console/,$d' /etc/posdx/posdx.toml && /etc/init.d/posdx restart && posdx selfcheck --live 60`); err != nil {
		return "", err
	}
	var table strings.Builder
	table.WriteString("\n| program | file kB | PSS kB | RSS kB | anonymous kB | PSS least to most | CPU ms/min | wake-ups/s | to disk B/min | on the wire B/min | ready s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, o := range others {
		if l.programs != "" && !slices.Contains(strings.Split(l.programs, ","), o.name) {
			continue
		}
		row, err := o.measure(l)
		if err != nil {
			return "", fmt.Errorf("%s: %w", o.name, err)
		}
		fmt.Fprint(os.Stderr, "armlab: measure: ", row)
		table.WriteString(row)
	}
	return table.String(), nil
}

// figures runs a command of the guest that prints so many numbers.
func (l *lab) figures(command string, want int) ([]float64, error) {
	out, err := l.order(2*minute, command)
	n := numbers(out)
	if err == nil && len(n) != want {
		err = fmt.Errorf("%q: %q: want %d numbers", command, out, want)
	}
	return n, err
}

func (o other) measure(l *lab) (row string, err error) {
	begin, err := l.figures("/etc/init.d/posdx stop >/dev/null 2>&1; rm -f /run/posdx/hook.sock; sync; echo 3 >/proc/sys/vm/drop_caches; a=$(cut -d' ' -f1 /proc/uptime); { "+o.start+
		"; } >/dev/null 2>&1; i=0; until "+o.ready+" 2>/dev/null || [ $i -gt 1500 ]; do usleep 20000; i=$((i+1)); done; echo $a $(cut -d' ' -f1 /proc/uptime)", 2)
	if err != nil {
		return "", err
	}
	time.Sleep(rest)
	pids := "$(for p in /proc/[0-9]*; do case $(readlink $p/exe) in */" + o.process + ") echo ${p#/proc/};; esac; done)"
	if out, err := l.order(minute, "echo "+pids); err != nil || out == "" {
		log, _ := l.order(minute, "tail -2 /tmp/*log /tmp/z/log 2>/dev/null")
		return fmt.Sprintf("| %s | did not run here: %s |\n", o.name, strings.ReplaceAll(log, "\n", " ")), err
	}
	count := func() ([]float64, error) { // processor, wake-ups, disk; bytes and packets of the line, time
		n, err := l.figures(`c=0; w=0; for p in `+pids+`; do for t in /proc/$p/task/*; do c=$(awk -v c=$c '{printf "%.0f", c+$1/1000}' $t/schedstat); w=$((w + $(awk '/^voluntary_ctxt/ {print $2}' $t/status))); done; done; sync; echo $c $w $(awk '{print $7 * 512}' /sys/block/vda/stat)`, 3)
		if err != nil {
			return nil, err
		}
		line, err := l.figures(onTheLine, 3)
		return append(n, line...), err
	}
	before, err := count()
	if err != nil {
		return "", err
	}
	var memory [][]float64 // PSS, RSS, anonymous
	for range looks {
		n, err := l.figures(`for p in `+pids+`; do awk '/^Pss:/ {s += $2} /^Rss:/ {r += $2} /^Anonymous:/ {a += $2} END {print s, r, a}' /proc/$p/smaps_rollup; done | awk '{s += $1; r += $2; a += $3} END {print s, r, a}'`, 3)
		if err != nil {
			return "", err
		}
		memory = append(memory, n)
		time.Sleep(watch / looks)
	}
	after, err := count()
	if err != nil {
		return "", err
	}
	slices.SortFunc(memory, func(a, b []float64) int { return cmp.Compare(a[0], b[0]) })
	middle := memory[looks/2]
	minutes := (after[5] - before[5]) / 60
	wire := (after[3] - before[3]) / minutes
	why := ""
	if o.ask != "" {
		asked, err := o.asked(l)
		if err != nil {
			why = "; unasked: " + err.Error()
		}
		wire += asked
	}
	size, err := l.figures(`p=`+pids+`; ls -lL /proc/${p%%[!0-9]*}/exe | awk '{print int($5/1024)}'`, 1)
	if err != nil {
		return "", err
	}
	if o.name != "posdx" {
		if _, err := l.order(minute, "kill "+pids+" 2>/dev/null; sleep 3; kill -9 "+pids+" 2>/dev/null; true"); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("| %s | %.0f | %.0f | %.0f | %.0f | %.0f to %.0f | %.0f | %.1f | %.0f | %.0f%s | %.1f |\n", o.name,
		size[0], middle[0], middle[1], middle[2], memory[0][0], memory[looks-1][0], (after[0]-before[0])/1000/minutes,
		(after[1]-before[1])/minutes/60, (after[2]-before[2])/minutes, wire, why, begin[1]-begin[0]), nil
}

// asked returns what one question of its server and the answer cost on the wire.
func (o other) asked(l *lab) (float64, error) {
	before, err := l.figures(onTheLine, 3)
	if err != nil {
		return 0, err
	}
	if err := l.give("/tmp/ask", o.ask); err != nil {
		return 0, err
	}
	for range asks {
		out, err := l.order(2*minute, "nsenter -t $(cat /tmp/far) -n sh /tmp/ask >/tmp/answer 2>/tmp/asking; wc -c </tmp/answer; tail -1 /tmp/asking")
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(out, "0") {
			return 0, errors.New("it does not answer: " + out)
		}
	}
	after, err := l.figures(onTheLine, 3)
	if err != nil {
		return 0, err
	}
	return (after[0] - before[0]) / asks, nil
}

func numbers(s string) (list []float64) {
	for _, f := range strings.Fields(s) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return nil
		}
		list = append(list, n)
	}
	return list
}
