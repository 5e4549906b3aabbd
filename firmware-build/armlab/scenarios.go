package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"posdx/drivers/sim"
)

func scenarios() []scenario {
	return []scenario{
		{"install", install}, {"link", link}, {"reader", unplug}, {"modem", modem}, {"ppp", ppp}, {"breaks", breaks}, {"carrier", carrier},
		{"console", console}, {"storage", storage}, {"kernel-log", kernelLog},
		{"broker", brokerGone}, {"forgotten", forgotten}, {"clock-1970", clock}, {"memory-12m", memory}, {"cut", cutWhileWriting}, {"cut-lying-disk", cutOnALyingDisk},
		{"upgrade-cut", cutWhileUpgrading}, {"measure", measure}, {"day", day},
	}
}

const minute = time.Minute

// ready boots a fresh disk, installs posdx from its tar and waits until it is well.
func (l *lab) ready(ctx context.Context, o options) error {
	o.fresh = true
	l.book = &ledger{}
	if err := l.brokerOn(ctx); err != nil {
		return err
	}
	if err := l.boot(ctx, o); err != nil {
		return err
	}
	out, err := l.order(4*minute, "/pkg/1.0.0/install.sh")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "installed posdx 1.0.0") {
		return errors.New(out)
	}
	_, err = l.order(2*minute, "posdx selfcheck --live 60")
	return err
}

// sees waits until a check says what it should.
func (l *lab) sees(ctx context.Context, check, want string) (string, error) {
	var out string
	err := until(ctx, 2*minute, func() error {
		out, _ = l.order(minute, "posdx check --lang en --json "+check)
		if !strings.Contains(strings.ReplaceAll(out, " ", ""), want) {
			return fmt.Errorf("%s: no %s in %s", check, want, out)
		}
		return nil
	})
	return out, err
}

func install(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	return l.order(minute, `uname -r; posdx version; ls -l /etc/init.d/S95posdx | awk '{print $NF}'; grep Uid: /proc/$(pidof posdx)/status | awk '{print "uid " $2}'`)
}

func link(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "net.link", `"carrier":true`); err != nil {
		return "", err
	}
	if err := l.machine(`{"execute":"set_link","arguments":{"name":"nic0","up":false}}`); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "net.link", `"carrier":false`); err != nil {
		return "", err
	}
	out, err := l.order(minute, "posdx report --lang en --code newpos:E5 --scheme terminal-local --origin terminal --txn sent=false --json --wait final || true")
	if err != nil || !strings.Contains(out, "lan.cable") {
		return "", fmt.Errorf("link pulled, %v: %s", err, out)
	}
	if err := l.machine(`{"execute":"set_link","arguments":{"name":"nic0","up":true}}`); err != nil {
		return "", err
	}
	_, err = l.sees(ctx, "net.link", `"carrier":true`)
	return "pulled: no carrier, lan.cable; back: carrier", err
}

func unplug(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "reader.port", `"status":"ok"`); err != nil {
		return "", err
	}
	before, err := l.order(minute, "ls /dev/ttyUSB*")
	if err != nil {
		return "", err
	}
	// Somebody holds the old port, so the next one gets another number.
	if _, err := l.order(minute, "sleep 600 </dev/ttyUSB0 >/dev/null 2>&1 &"); err != nil {
		return "", err
	}
	l.ends[0].Close() // closing the socket pulls it out
	if _, err := l.sees(ctx, "reader.port", `"status":"bad"`); err != nil {
		return "", err
	}
	if err := l.plug(ctx, "reader", sim.NewReader(sim.GemCorePOSPro(), 2)); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "reader.port", `"status":"ok"`); err != nil {
		return "", err
	}
	after, err := l.order(minute, "ls -d /sys/bus/usb-serial/devices/* | sed 's#.*/##'")
	return fmt.Sprintf("%s, unplugged: bad; plugged in again as %s: found by its id", before, after), err
}

func modem(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "modem.port", `"status":"ok"`); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "modem.registration", `"status":"ok"`); err != nil {
		return "", err
	}
	kind, err := l.order(minute, "grep -E '^[01]:' /proc/tty/driver/serial | head -1")
	return "a 16550A answers through the kernel's driver: " + kind, err
}

func storage(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	report := "posdx report --lang en --code 96 --origin host --wait none"
	if _, err := l.order(4*minute, "dd if=/dev/zero of=/fill bs=1M 2>/dev/null; dd if=/dev/zero of=/fill2 bs=4k 2>/dev/null; true"); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "board.storage", `"status":"bad"`); err != nil {
		return "", err
	}
	if _, err := l.order(minute, report); err != nil {
		return "", fmt.Errorf("full: %w", err)
	}
	out, err := l.order(4*minute, "/pkg/2.0.0/install.sh")
	if err == nil {
		return "", fmt.Errorf("an upgrade on a full disk: %s", out)
	}
	refused := out
	if _, err := l.order(minute, "rm -f /fill /fill2 && posdx version && posdx selfcheck --live 30"); err != nil {
		return "", err
	}
	if _, err := l.order(minute, "sync; echo u >/proc/sysrq-trigger; sleep 2; grep ' / ' /proc/mounts | grep -q '[ ,]ro[ ,]'"); err != nil {
		return "", fmt.Errorf("remount read-only: %w", err)
	}
	if _, err := l.sees(ctx, "board.storage", `"read_only":true`); err != nil {
		return "", err
	}
	if _, err := l.order(minute, report); err != nil {
		return "", fmt.Errorf("read-only: %w", err)
	}
	last := strings.Split(refused, "\n")
	return "full and read-only are seen, codes are answered; an upgrade says: " + last[len(last)-1], nil
}

func clock(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{rtc: "1970-01-02T00:00:00"}); err != nil {
		return "", err
	}
	if _, err := l.order(minute, `posdx status --json | grep -q '"clock_trusted": *false'`); err != nil {
		return "", err
	}
	if _, err := l.order(minute, "posdx report --lang en --code 96 --origin host --wait final >/dev/null"); err != nil {
		return "", err
	}
	return l.order(minute, "date -u +'at %F the clock is not believed and a code is explained'")
}

func memory(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{append: "cgroup_enable=memory cgroup_memory=1"}); err != nil {
		return "", err
	}
	set := `mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && echo +memory >/tmp/cg/cgroup.subtree_control && mkdir /tmp/cg/p && echo 12582912 >/tmp/cg/p/memory.max &&
/etc/init.d/posdx stop && echo 3 >/proc/sys/vm/drop_caches && (sh -c 'echo $$ >/tmp/cg/p/cgroup.procs; exec /etc/init.d/posdx start') && posdx selfcheck --live 90`
	if _, err := l.order(4*minute, strings.ReplaceAll(set, "\n", " ")); err != nil {
		return "", err
	}
	if _, err := l.order(4*minute, "for c in 96 91 newpos:E5; do posdx report --lang en --code $c --origin terminal --wait final >/dev/null || true; done; posdx selfcheck --live 30"); err != nil {
		return "", err
	}
	return l.order(minute, `grep -q 'oom_kill 0' /tmp/cg/p/memory.events && echo "within 12 MiB, nothing killed: peak $(($(cat /tmp/cg/p/memory.current) / 1024)) kB now"`)
}

// cutRuns cuts the power at any moment while codes come in, mostly with a code half answered, and says how many
// diagnoses the terminal had promised to keep, and which of them are lost.
func cutRuns(ctx context.Context, l *lab, cache string, n int) (promised int, lost []string, err error) {
	if err := l.ready(ctx, options{cache: cache}); err != nil {
		return 0, nil, err
	}
	l.brokerOff() // nothing may leave, so that everything must still be there
	if _, err := l.order(minute, "sync"); err != nil {
		return 0, nil, err
	}
	for i := range n {
		begun := time.Now()
		if err := l.report("final"); err != nil {
			return 0, nil, err
		}
		dark := make(chan struct{})
		power := time.AfterFunc(rand.N(2*time.Since(begun)), func() { l.dark(); close(dark) })
		for err = nil; err == nil; {
			err = l.report([]string{"first", "first", "final"}[l.codes%3])
		}
		if power.Stop() {
			return 0, nil, err // of itself, before the cut
		}
		<-dark
		l.cut()
		if err := l.boot(ctx, options{cache: cache}); err != nil {
			return 0, nil, fmt.Errorf("after cut %d: %w", i+1, err)
		}
		if _, err := l.order(3*minute, "posdx selfcheck --live 120"); err != nil {
			return 0, nil, fmt.Errorf("after cut %d: %w", i+1, err)
		}
	}
	promised, lost, err = l.settle(ctx)
	if err == nil && promised < n {
		err = fmt.Errorf("only %d diagnoses were accepted in %d cuts: that proves little", promised, n)
	}
	return promised, lost, err
}

func cutWhileWriting(ctx context.Context, l *lab) (string, error) {
	promised, lost, err := cutRuns(ctx, l, "writeback", l.cuts)
	if err != nil {
		return "", err
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("%d cuts: %d of %d accepted diagnoses lost: %v", l.cuts, len(lost), promised, lost)
	}
	return fmt.Sprintf("%d cuts on a disk with a volatile cache: all %d accepted diagnoses there", l.cuts, promised), nil
}

// cutOnALyingDisk is the control: on a disk that lies about flushes the same test must lose something.
func cutOnALyingDisk(ctx context.Context, l *lab) (string, error) {
	promised, lost, err := cutRuns(ctx, l, "unsafe", 1)
	if err != nil && strings.HasPrefix(err.Error(), "after cut") {
		return "control, a disk that lies about flushes: the guest does not come up as it was: " + strings.SplitN(err.Error(), "\n", 2)[0], nil
	}
	if err != nil {
		return "", err
	}
	if len(lost) == 0 {
		return "", fmt.Errorf("nothing was lost on a disk that lies: this lab cannot fail")
	}
	return fmt.Sprintf("control, a disk that lies about flushes: %d of %d lost", len(lost), promised), nil
}

func cutWhileUpgrading(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{cache: "writeback"}); err != nil {
		return "", err
	}
	if _, err := l.order(minute, "sync"); err != nil {
		return "", err
	}
	seen := map[string]int{}
	to := "2.0.0"
	for i := range l.cuts {
		if _, err := l.order(minute, "/pkg/"+to+"/install.sh >/tmp/upgrade 2>&1 &"); err != nil {
			return "", err
		}
		time.Sleep(time.Duration(rand.IntN(20000)) * time.Millisecond)
		l.cut()
		if err := l.boot(ctx, options{cache: "writeback"}); err != nil {
			return "", fmt.Errorf("after cut %d: %w", i+1, err)
		}
		if _, err := l.order(4*minute, "posdx selfcheck --live 120"); err != nil {
			files, _ := l.order(minute, "ls -la /usr/bin/posdx* /usr/lib/posdx; cat /usr/lib/posdx/taken-back")
			return "", fmt.Errorf("after cut %d: %w\n%s", i+1, err, files)
		}
		v, err := l.order(minute, "posdx version | awk '{print $2}'")
		if err != nil {
			return "", err
		}
		seen[v]++
		// On: from what is there to the other one.
		to = map[string]string{"1.0.0": "2.0.0", "2.0.0": "1.0.0"}[v]
	}
	return fmt.Sprintf("%d cuts during an upgrade, a well daemon after each: %v", l.cuts, seen), nil
}
