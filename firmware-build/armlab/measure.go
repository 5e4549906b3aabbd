package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An other is a program that a vendor would install otherwise, with as little to do as its configuration lets it.
type other struct {
	name, start string // start puts it into the background
	process     string
	ready       string // a shell's condition that it does what it is for
}

// Every one of them watches this machine and has one thing to talk to, which answers nothing.
var others = []other{
	{"posdx", "/etc/init.d/posdx start", "posdx", "[ -S /run/posdx/hook.sock ]"},
	{"zabbix-agent2", `mkdir -p /tmp/z /run/zabbix && printf 'Server=127.0.0.1\nServerActive=127.0.0.1\nHostname=t\nLogType=console\nPidFile=/tmp/z/pid\nPluginSocket=/tmp/z/s\nControlSocket=/tmp/z/c\n' >/tmp/z/c.conf && (/usr/sbin/zabbix_agent2 -f -c /tmp/z/c.conf >/tmp/z/log 2>&1 &)`, "zabbix_agent2", "grep -q :2742 /proc/net/tcp /proc/net/tcp6"},
	{"node_exporter", `(/usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:9100 >/tmp/node.log 2>&1 &)`, "prometheus-node-exporter", "grep -q :238C /proc/net/tcp"},
	{"collectd", `printf 'FQDNLookup false\nInterval 10\nBaseDir "/tmp"\nPluginDir "/usr/lib/collectd"\nTypesDB "/usr/share/collectd/types.db"\nLoadPlugin cpu\nLoadPlugin memory\nLoadPlugin df\nLoadPlugin interface\nLoadPlugin mqtt\n<Plugin mqtt>\n<Publish "p">\nHost "10.0.2.100"\nPort 1883\nClientId "c"\n</Publish>\n</Plugin>\n' >/tmp/collectd.conf && (/usr/sbin/collectd -f -C /tmp/collectd.conf >/tmp/collectd.log 2>&1 &)`, "collectd", "grep -q :075B /proc/net/tcp"},
	{"telegraf", `printf '[agent]\n interval = "10s"\n quiet = true\n[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.disk]]\n[[inputs.net]]\n[[outputs.mqtt]]\n servers = ["tcp://10.0.2.100:1883"]\n topic = "t"\n' >/tmp/telegraf.conf && (/usr/bin/telegraf --config /tmp/telegraf.conf >/tmp/telegraf.log 2>&1 &)`, "telegraf", "grep -q :075B /proc/net/tcp"},
	{"monit", `printf 'set daemon 30\nset idfile /tmp/monit.id\nset statefile /tmp/monit.state\nset log /tmp/monit.log\ncheck system t\n if memory usage > 90%% then alert\ncheck filesystem r with path /\n if space usage > 90%% then alert\ncheck network e interface eth0\n' >/tmp/monitrc && chmod 600 /tmp/monitrc && (/usr/bin/monit -I -c /tmp/monitrc >/dev/null 2>&1 &)`, "monit", "[ -s /tmp/monit.state ]"},
	{"snmpd", `mkdir -p /var/lib/snmp && printf 'agentaddress udp:127.0.0.1:1161\nrocommunity public\n' >/tmp/snmpd.conf && (/usr/sbin/snmpd -f -LE 3 -C -c /tmp/snmpd.conf >/tmp/snmpd.log 2>&1 &)`, "snmpd", "grep -q :0489 /proc/net/udp"},
}

// rest and watch are how long each is left alone, and then watched.
const (
	rest  = 70 * time.Second // after which posdx has given back what starting needed
	watch = 60 * time.Second
)

// measure runs them one after the other in the same guest and prints a table.
func measure(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{alone: true}); err != nil {
		return "", err
	}
	// Nothing is at the far ends here, and a console that nobody reads is waited for.
	if _, err := l.order(2*minute, `sed -i '/^\[\[reader/,/^\[network/{/^\[network/!d}; /^\[console/,$d' /etc/posdx/posdx.toml && /etc/init.d/posdx restart && posdx selfcheck --live 60`); err != nil {
		return "", err
	}
	var table strings.Builder
	table.WriteString("\n| program | file kB | PSS kB | RSS kB | anonymous kB | CPU ms/min | wake-ups/s | to disk B/min | on the wire B/min | ready s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, o := range others {
		ready, err := l.order(3*minute, "/etc/init.d/posdx stop >/dev/null 2>&1; rm -f /run/posdx/hook.sock; sync; echo 3 >/proc/sys/vm/drop_caches; a=$(cut -d' ' -f1 /proc/uptime); { "+o.start+
			"; } >/dev/null 2>&1; i=0; until "+o.ready+" 2>/dev/null || [ $i -gt 1500 ]; do usleep 20000; i=$((i+1)); done; echo $a $(cut -d' ' -f1 /proc/uptime)")
		if err != nil {
			return "", fmt.Errorf("%s: %w", o.name, err)
		}
		time.Sleep(rest)
		pids := "$(for p in /proc/[0-9]*; do case $(readlink $p/exe) in */" + o.process + ") echo ${p#/proc/};; esac; done)"
		count := func() ([]float64, error) {
			out, err := l.order(minute, `c=0; w=0; for p in `+pids+`; do for t in /proc/$p/task/*; do c=$(awk -v c=$c '{printf "%.0f", c+$1/1000}' $t/schedstat); w=$((w + $(awk '/^voluntary_ctxt/ {print $2}' $t/status))); done; done; sync; echo $c $w $(awk '{print $7 * 512}' /sys/block/vda/stat) $(cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/tx_bytes)`)
			return numbers(out), err
		}
		before, err := count()
		if err != nil {
			return "", err
		}
		begun := time.Now()
		time.Sleep(watch)
		after, err := count()
		if err != nil {
			return "", err
		}
		minutes := time.Since(begun).Minutes()
		out, err := l.order(minute, `for p in `+pids+`; do awk '/^Pss:/ {s += $2} /^Rss:/ {r += $2} /^Anonymous:/ {a += $2} END {print s, r, a}' /proc/$p/smaps_rollup; done | awk '{s += $1; r += $2; a += $3} END {print s, r, a}'; p=`+pids+`; ls -lL /proc/${p%%[!0-9]*}/exe | awk '{print int($5/1024)}'`)
		if err != nil {
			return "", err
		}
		m := numbers(out)
		if len(m) < 4 || len(before) != 5 || len(after) != 5 || m[0] == 0 {
			log, _ := l.order(minute, "tail -2 /tmp/*log /tmp/z/log 2>/dev/null")
			fmt.Fprintf(&table, "| %s | did not run here: %s |\n", o.name, strings.ReplaceAll(log, "\n", " "))
			continue
		}
		begin := numbers(ready)
		if len(begin) != 2 {
			return "", fmt.Errorf("%s: %s", o.name, ready)
		}
		fmt.Fprintf(&table, "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f | %.0f | %.0f | %.1f |\n", o.name, m[3], m[0], m[1], m[2],
			(after[0]-before[0])/1000/minutes, (after[1]-before[1])/minutes/60, (after[2]-before[2])/minutes,
			(after[3]+after[4]-before[3]-before[4])/minutes, begin[1]-begin[0])
		if o.name != "posdx" {
			if _, err := l.order(minute, "kill "+pids+" 2>/dev/null; sleep 3; kill -9 "+pids+" 2>/dev/null; true"); err != nil {
				return "", err
			}
		}
	}
	return table.String(), nil
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
