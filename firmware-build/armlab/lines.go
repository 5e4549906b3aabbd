package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"posdx/drivers/sim"
)

// configure changes the guest's configuration by a sed script and starts posdx again.
func (l *lab) configure(script string) error {
	_, err := l.order(3*minute, "sed -i '"+script+"' /etc/posdx/posdx.toml && posdx config check /etc/posdx/posdx.toml; /etc/init.d/posdx restart && posdx selfcheck --live 60")
	return err
}

// ppp lets two pppd of the guest speak over a cable between two UARTs, the far one in a network of its own. posdx has
// the near one's port as its modem and the link as its network.
func ppp(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if err := l.wire(ctx); err != nil {
		return "", err
	}
	const pppd = "noauth nodetach local nocrtscts noipv6 lcp-echo-interval 2 lcp-echo-failure 3"
	if _, err := l.order(minute, "sh /lab/load; mkdir -p /var/lock /run/lock /etc/ppp; touch /etc/ppp/options; "+
		"setsid unshare -n sh -c 'ifconfig lo up; echo $$ >/run/far; exec pppd /dev/ttyS3 115200 "+pppd+" 10.64.0.1:10.64.0.2' >/tmp/far.log 2>&1 </dev/null & "+
		"setsid pppd /dev/ttyS2 115200 "+pppd+" 10.64.0.2:10.64.0.1 >/tmp/near.log 2>&1 </dev/null &"); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, minute, "ping -c 1 -W 5 10.64.0.1"); err != nil {
		log, _ := l.order(minute, "cat /tmp/near.log /tmp/far.log; lsmod")
		return "", fmt.Errorf("no link: %w: %s", err, log)
	}
	err := l.configure(`s/ttyS0/ttyS2/; s/"eth0"/"ppp0"/; $a [[target]]\nname = "host-primary"\nhost = "10.64.0.1"\nport = 5000`)
	if err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "net.link", `"carrier":true`); err != nil {
		return "", err
	}
	// Whoever holds the port is left alone.
	if _, err := l.sees(ctx, "modem.port", `"status":"cannot-tell"`); err != nil {
		return "", err
	}
	owner, err := l.order(minute, `posdx check --lang en modem.port || true`)
	if err != nil {
		return "", err
	}
	if !strings.Contains(owner, "in-use") {
		return "", fmt.Errorf("pppd holds the port, and the check says %s", owner)
	}
	if _, err := l.order(minute, "ping -c 2 -W 5 10.64.0.1"); err != nil {
		return "", fmt.Errorf("after the checks: %w", err)
	}
	// PPP is the only way out, as on a terminal with a modem alone. The far side falls silent; exec kept its number.
	if _, err := l.order(minute, "ifconfig eth0 down; kill -9 $(cat /run/far)"); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, minute, "! ifconfig ppp0 2>/dev/null"); err != nil {
		return "", fmt.Errorf("pppd keeps a dead link: %w", err)
	}
	if _, err := l.sees(ctx, "net.link", `"status":"bad"`); err != nil {
		return "", err
	}
	out, err := l.order(minute, "posdx report --lang en --code newpos:E5 --scheme terminal-local --origin terminal --txn sent=false --json --wait final || true")
	if err != nil {
		return "", err
	}
	cause := firstCause(out)
	if room, _, _ := strings.Cut(cause, "."); !slices.Contains([]string{"modem", "bearer", "lan", "wan"}, room) {
		return "", fmt.Errorf("the far side is gone and the cause is %q: %s", cause, out)
	}
	return "two pppd over two 16550A: the link is seen, the port that pppd holds is left alone (in use); far side killed: " + cause, nil
}

// firstCause is the first cause in a diagnosis of JSON lines.
func firstCause(out string) string {
	_, rest, _ := strings.Cut(strings.ReplaceAll(out, " ", ""), `"causes":[{"id":"`)
	cause, _, _ := strings.Cut(rest, `"`)
	return cause
}

// breaks are sent down a UART on which posdx asks a reader.
func breaks(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if err := l.plug(ctx, "near", sim.NewReader(sim.GemCorePOSPro(), 3)); err != nil {
		return "", err
	}
	if err := l.configure(`s#usb:0403:6001#/dev/ttyS2#`); err != nil {
		return "", err
	}
	if _, err := l.sees(ctx, "reader.port", `"status":"ok"`); err != nil {
		return "", err
	}
	// The driver listens while the port is open, so the reader is asked all the time.
	if _, err := l.order(minute, "(for i in 1 2 3 4 5 6 7 8 9 10; do posdx check reader.port reader.line; done) >/dev/null 2>&1 &"); err != nil {
		return "", err
	}
	for range 100 {
		if err := l.machine(`{"execute":"chardev-send-break","arguments":{"id":"near"}}`); err != nil {
			return "", err
		}
		time.Sleep(150 * time.Millisecond)
	}
	counted, err := l.order(minute, "grep '^2:' /proc/tty/driver/serial")
	if err != nil {
		return "", err
	}
	if !strings.Contains(counted, "brk:") {
		return "", fmt.Errorf("the driver counts no breaks: %s", counted)
	}
	if _, err := l.sees(ctx, "reader.port", `"status":"ok"`); err != nil {
		return "", fmt.Errorf("after breaks: %w", err)
	}
	line, err := l.order(minute, "posdx check --lang en reader.line || true")
	return "100 breaks; the driver: " + counted + "; the reader answers; " + strings.Join(strings.Fields(line), " "), err
}

// carrier serves the console on a port whose DCD follows the other side: a USB gadget in the guest itself.
func carrier(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	gadget := `sh /lab/load; mount -t configfs none /sys/kernel/config; g=/sys/kernel/config/usb_gadget/g; mkdir $g && cd $g && echo 0x1d6b >idVendor && echo 0x0104 >idProduct && ` +
		`mkdir -p strings/0x409 configs/c.1/strings/0x409 functions/acm.0 && echo lab >strings/0x409/product && ln -s functions/acm.0 configs/c.1 && ls /sys/class/udc >UDC; sleep 3; mdev -s; ls /dev/ttyACM0 /dev/ttyGS0 && syslogd -C64`
	if _, err := l.order(minute, gadget); err != nil {
		return "", err
	}
	if err := l.configure(`s#/dev/ttyS1#/dev/ttyACM0#`); err != nil {
		return "", err
	}
	if _, err := l.order(minute, `stty -F /dev/ttyGS0 raw -echo; (cat /dev/ttyGS0 >/tmp/screen & echo $! >/tmp/cat) </dev/null; exec 4>/dev/ttyGS0; for i in 1 2 3 4 5 6 7 8; do printf '\r' >&4; sleep 3; done`); err != nil {
		return "", err
	}
	if _, err := l.order(minute, "grep -q lab/arm /tmp/screen"); err != nil {
		screen, _ := l.order(minute, "cat -v /tmp/screen; logread")
		return "", fmt.Errorf("no screen: %s", screen)
	}
	if _, err := l.order(minute, "kill $(cat /tmp/cat)"); err != nil {
		return "", err
	}
	if _, err := l.eventually(ctx, minute, "logread | grep -q 'the line has fallen'"); err != nil {
		log, _ := l.order(minute, "logread")
		return "", fmt.Errorf("DCD fell and nothing was said: %s", log)
	}
	return "a session on ttyACM0; the far side closes, DCD falls: the console locks", nil
}

// screenOf plays a terminal of 80x24 on a line for a while: it answers the questions for the cursor and presses keys.
func screenOf(ctx context.Context, c net.Conn, limit time.Duration, enough string) (string, error) {
	var seen strings.Builder
	c.Write([]byte("\r"))
	asked := 0
	err := until(ctx, limit, func() error {
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			seen.Write(b[:n])
			for ; asked < strings.Count(seen.String(), "\x1b[6n"); asked++ {
				c.Write([]byte([]string{"\x1b[1;3R", "\x1b[24;80R"}[min(asked, 1)]))
			}
			if err != nil {
				break
			}
		}
		if !strings.Contains(seen.String(), enough) {
			c.Write([]byte("\r"))
			return fmt.Errorf("no %s on the console: %q", enough, seen.String())
		}
		return nil
	})
	return seen.String(), err
}

func console(ctx context.Context, l *lab) (string, error) {
	if err := l.ready(ctx, options{}); err != nil {
		return "", err
	}
	if _, err := l.order(minute, "posdx report --lang en --code 97 --origin host --wait final >/dev/null || true"); err != nil {
		return "", err
	}
	c, err := net.Dial("unix", filepath.Join(l.s, "console"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	screen, err := screenOf(ctx, c, 90*time.Second, "lab/arm")
	if err != nil {
		return "", err
	}
	if !strings.Contains(screen, "\x1b[2J") || !strings.Contains(screen, "97") {
		return "", fmt.Errorf("no screen with the code: %q", screen)
	}
	return fmt.Sprintf("a session through the second UART at 80x24, the code on its first page, %d bytes", len(screen)), nil
}
