package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// waiting is how many records wait for the broker.
const waiting = `posdx status --json | sed -n 's/.*"waiting": *\([0-9]*\).*/\1/p' | head -1`

// brokerGone takes the broker away for as long as -away says, with a code every ten seconds, and compares what the
// terminal promised to keep with what arrives once the broker is back.
func brokerGone(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, 2*minute, `posdx status --json | grep -q '"connected": *true'`); err != nil {
		return "", err
	}
	l.brokerOff()
	for begun := time.Now(); time.Since(begun) < l.away; time.Sleep(10 * time.Second) {
		if err := l.report("final"); err != nil {
			return "", err
		}
	}
	kept, err := l.order(minute, waiting)
	if err != nil || kept == "" || kept == "0" {
		return "", fmt.Errorf("%q records wait, %v", kept, err)
	}
	promised, lost, err := l.settle(ctx)
	if err != nil {
		return "", err
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("%d of %d accepted diagnoses did not arrive: %v", len(lost), promised, lost)
	}
	return fmt.Sprintf("away for %v: %d codes taken, %s records waited, every diagnosis arrived afterwards",
		l.away, promised, kept), nil
}

// forgotten is the control of the two scenarios that count: what the terminal kept is deleted behind its back, and the
// count must name it.
func forgotten(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if err := l.report("final"); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, 2*minute, "[ \"$("+waiting+")\" = 0 ]"); err != nil {
		return "", err
	}
	l.brokerOff()
	for range 3 {
		if err := l.report("final"); err != nil {
			return "", err
		}
	}
	if _, err := l.order(2*minute, "/etc/init.d/posdx stop; rm -rf /var/lib/posdx/outbox/*; /etc/init.d/posdx start"); err != nil {
		return "", err
	}
	promised, lost, err := l.settle(ctx)
	if err != nil {
		return "", err
	}
	if promised != 4 || !slices.Equal(lost, l.book.promised[1:]) {
		return "", fmt.Errorf("of %v the last three were deleted, and the count names %v", l.book.promised, lost)
	}
	return fmt.Sprintf("control, three of four kept diagnoses are deleted: exactly they are named, %v", lost), nil
}

// report hands the terminal a code that it has not had for a while, waits for the first or the final form of its
// diagnosis, and books what the terminal thereby promised to keep.
func (l *lab) report(form string) error {
	l.codes++
	command := fmt.Sprintf("posdx report --lang en --code %d --origin host --json --wait %s --timeout 50s", 50+l.codes%50, form)
	out, err := l.order(minute, command+"; rc=$?; [ $rc = 0 ] || [ $rc = 3 ]")
	if err != nil {
		return err
	}
	return l.book.promise(out)
}

// settle starts the broker again and, when the terminal has nothing left to send, says how many diagnoses were
// promised and which of them have not arrived.
func (l *lab) settle(ctx context.Context) (promised int, lost []string, err error) {
	if err := l.brokerOn(ctx); err != nil {
		return 0, nil, err
	}
	if _, err := l.eventually(ctx, 10*minute, "[ \"$("+waiting+")\" = 0 ]"); err != nil {
		return 0, nil, err
	}
	// What is not there now may still be on its way to the reader.
	_ = until(ctx, 30*time.Second, func() error {
		if promised, lost = l.book.balance(); len(lost) > 0 {
			return errors.New("not all there")
		}
		return nil
	})
	return promised, lost, ctx.Err()
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
