package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"posdx/agent/report"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// waiting is how many records wait for the broker.
const waiting = `posdx status --json | sed -n 's/.*"waiting": *\([0-9]*\).*/\1/p' | head -1`

// A reader of the fleet's side keeps the ids of the diagnoses that arrived in their last form.
type fleet struct {
	mu  sync.Mutex
	ids map[string]bool
	c   mqtt.Client
}

func (l *lab) listen() (*fleet, error) {
	f := &fleet{ids: map[string]bool{}}
	o := mqtt.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", l.port)).SetClientID("lab").SetCleanSession(true)
	o.SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) {
			body, err := report.Unpack(m.Payload(), 1<<20)
			if err != nil {
				return
			}
			var d struct {
				Body struct {
					ID    string `json:"id"`
					Final bool   `json:"final"`
				} `json:"body"`
				ID    string `json:"id"`
				Final bool   `json:"final"`
			}
			if json.Unmarshal(body, &d) == nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				if d.Final {
					f.ids[d.ID] = true
				}
				if d.Body.Final {
					f.ids[d.Body.ID] = true
				}
			}
		})
	})
	f.c = mqtt.NewClient(o)
	t := f.c.Connect()
	t.Wait()
	return f, t.Error()
}

// brokerGone takes the broker away for as long as -away says, with a code every ten seconds, and compares what the
// terminal took with what arrived once the broker is back.
func brokerGone(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, 2*minute, `posdx status --json | grep -q '"connected": *true'`); err != nil {
		return "", err
	}
	l.brokerOff()
	accepted := map[string]bool{}
	for begun := time.Now(); time.Since(begun) < l.away; time.Sleep(10 * time.Second) {
		id, err := l.report(len(accepted))
		if err != nil {
			return "", err
		}
		accepted[id] = true
	}
	kept, err := l.order(minute, waiting)
	if err != nil || kept == "" || kept == "0" {
		return "", fmt.Errorf("%q records wait, %v", kept, err)
	}
	missing, err := l.missing(ctx, accepted)
	if err != nil {
		return "", err
	}
	if missing > 0 {
		return "", fmt.Errorf("%d of %d accepted diagnoses did not arrive", missing, len(accepted))
	}
	return fmt.Sprintf("away for %v: %d codes taken, %s records waited, every diagnosis arrived afterwards",
		l.away, len(accepted), kept), nil
}

// report hands the terminal a code, waits for the last form of its diagnosis and returns the diagnosis' id: with it the
// terminal has promised to keep the diagnosis.
func (l *lab) report(n int) (string, error) {
	command := fmt.Sprintf("posdx report --lang en --code 9%d --origin host --json --wait final --timeout 50s", n%7)
	out, err := l.order(minute, command+"; rc=$?; [ $rc = 0 ] || [ $rc = 3 ]")
	if err != nil {
		return "", err
	}
	if strings.Contains(out, `"memory_only":true`) {
		return "", fmt.Errorf("the terminal cannot keep what it takes: %s", out)
	}
	id := last(out, `"id":"`)
	if id == "" {
		return "", fmt.Errorf("no diagnosis: %s", out)
	}
	return id, nil
}

// missing starts the broker again and counts the diagnoses that have not arrived when the terminal has nothing left to
// send.
func (l *lab) missing(ctx context.Context, accepted map[string]bool) (missing int, err error) {
	if err := l.brokerOn(); err != nil {
		return 0, err
	}
	var f *fleet
	if err := until(ctx, minute, func() (err error) { f, err = l.listen(); return err }); err != nil {
		return 0, err
	}
	defer f.c.Disconnect(100)
	if _, err := l.eventually(ctx, 10*minute, "[ \"$("+waiting+")\" = 0 ]"); err != nil {
		return 0, err
	}
	// What is not there now may still be on its way to this reader.
	err = until(ctx, 30*time.Second, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		missing = 0
		for id := range accepted {
			if !f.ids[id] {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d did not arrive", missing)
		}
		return nil
	})
	if ctx.Err() != nil {
		return missing, err
	}
	return missing, nil
}

// last is the value behind the last occurrence of key at the top of a line.
func last(out, key string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if _, rest, ok := strings.Cut(strings.ReplaceAll(lines[i], `": "`, `":"`), key); ok {
			id, _, _ := strings.Cut(rest, `"`)
			return id
		}
	}
	return ""
}

// kernelLog makes the kernel complain of a disk, of a device and of memory, and lets a program write such lines itself.
func kernelLog(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{sick: true, append: "cgroup_enable=memory cgroup_memory=1"}); err != nil {
		return "", err
	}
	// Without a capability, as under busybox's init, the log is read only where the system lets everybody.
	if out, _ := l.order(minute, "posdx check --lang en --json board.kernel"); !strings.Contains(out, "permission") {
		return "", fmt.Errorf("the log cannot be read here, and the check says %s", out)
	}
	if _, err := l.order(2*minute, "echo 0 >/proc/sys/kernel/dmesg_restrict; chgrp posdx /dev/kmsg && chmod 640 /dev/kmsg && /etc/init.d/posdx restart && posdx selfcheck --live 60"); err != nil {
		return "", err
	}
	// A program's own lines prove nothing.
	forged := `for i in 1 2 3 4 5; do echo '<3>Buffer I/O error on dev vda, logical block 7, async page read' >/dev/kmsg; echo '<3>mmc0: error -110 whilst initialising SD card' >/dev/kmsg; done; sleep 3`
	if _, err := l.order(minute, forged); err != nil {
		return "", err
	}
	if out, _ := l.order(minute, "posdx check --lang en --json board.kernel"); strings.Contains(strings.ReplaceAll(out, " ", ""), `"status":"bad"`) {
		return "", fmt.Errorf("lines that a program wrote were believed: %s", out)
	}
	if _, err := l.order(2*minute, `mkdir -p /data && mount -t ext4 /dev/vdb /data && echo x >/data/f && sync`); err != nil {
		return "", err
	}
	if err := l.configure(`s#paths = \["/"\]#paths = ["/", "/data"]#`); err != nil {
		return "", err
	}
	if err := l.sicken(); err != nil {
		return "", err
	}
	if _, err := l.order(2*minute, "for i in 1 2 3 4 5; do echo y >/data/g$i; sync; done; echo 3 >/proc/sys/vm/drop_caches; ls -l /data >/dev/null; cat /data/f; true"); err != nil {
		return "", err
	}
	l.ends[0].Close() // the reader is pulled out
	if _, err := l.order(2*minute, "mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && echo +memory >/tmp/cg/cgroup.subtree_control && mkdir /tmp/cg/p && echo 4194304 >/tmp/cg/p/memory.max && sh -c 'echo $$ >/tmp/cg/p/cgroup.procs; tail /dev/zero'; true"); err != nil {
		return "", err
	}
	var seen string
	for _, fact := range []string{"io_errors_24h", "usb_disconnects_24h", "oom_24h"} {
		out, err := l.sees(ctx, "board.kernel", `"`+fact+`":`)
		if err != nil {
			log, _ := l.order(minute, "dmesg | tail -30")
			return "", fmt.Errorf("%w\n%s", err, log)
		}
		_, rest, _ := strings.Cut(strings.ReplaceAll(out, " ", ""), `"`+fact+`":`)
		n := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if len(n) == 0 || n[0] == "0" {
			return "", fmt.Errorf("%s is not counted: %s", fact, out)
		}
		seen += " " + fact + " " + n[0]
	}
	return "ten lines that a program wrote count for nothing; of the kernel's own:" + seen, nil
}
