package main

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"strconv"

	"posdx/agent/internal/keeper"
	"posdx/agent/internal/relay"
	"posdx/agent/report"
)

const relayHelp = `Stands between a payment application and a serial port, so that posdx can hear a link that it can neither hear on a
wire of its own ("rx") nor own. The last choice of the three: it is in the way of payments, as a process of its own that
passes everything on and gives the daemon copies only as far as the daemon takes them at once.

The application opens the link instead of the device. Behind it is a pty: baud rate, stop bits and flow control follow
the application; character size and parity a pty does not tell, so --framing says them; modem lines and breaks do not
pass, and tcdrain returns early. With --port, a second real port wired to the application's by a null modem, lines and
breaks pass too, and --baud and --framing hold for both. While the device is away the application hears nothing, and what
it writes is dropped, as with a cable that is out; it keeps its port open and goes on when the device is back.

Exit codes: 0 told to stop; 1 the link or the pty cannot be made; 2 wrong usage.`

// runRelay reads no configuration: a mistake in the daemon's must not stop a payment.
func runRelay(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "relay", "--device DEV --baud N (--link PATH | --port DEV) [--framing 7E1] [--copies SOCKET]", relayHelp,
		"posdx relay --device /dev/ttyS1 --baud 9600 --link /run/posdx-relay/ecr0/tty --copies /run/posdx/ecr0.relay")
	c := relay.Config{Group: -1}
	f.StringVar(&c.Device, "device", "", "the real port: a device `file`, or usb:VID:PID[,interface=NN][,serial=S]")
	f.StringVar(&c.Link, "link", "", "`path` at which the application finds its port, a symbolic link to a pty")
	f.StringVar(&c.Port, "port", "", "instead of --link, a second real port, a device `file`")
	group := f.String("group", "", "`group` that may open the pty besides the relay's own user, who must be a member")
	baud := f.Int("baud", 0, "`speed` until the application sets another")
	framing := f.String("framing", "8N1", "data bits, parity, stop bits: 8N1 7E1 …")
	hardware := f.Bool("rtscts", false, "RTS and CTS stop the flow, with --port")
	f.StringVar(&c.Copies, "copies", "", "the daemon's `socket` for copies, as in [[ecr]]; default: nobody hears")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || c.Device == "" || (c.Link == "") == (c.Port == "") {
		f.Usage()
		return exitUsage
	}
	line, err := relay.ParseLine(*baud, *framing)
	line.Hardware = *hardware
	if err == nil && *group != "" {
		c.Group, err = groupID(*group)
	}
	if err != nil {
		s.fail("relay", err)
		return exitUsage
	}
	gate := &report.Gate{}
	c.Line, c.Log = line, slog.New(slog.NewTextHandler(gate.Writer(s.err), nil))
	settle(c.Log)
	super := keeper.FindSupervisor(os.Getenv)
	c.Ready = func() {
		if err := super.Tell("READY=1"); err != nil {
			c.Log.Warn("supervisor", "err", err)
		}
	}
	n, err := relay.Run(ctx, c)
	if err != nil {
		s.fail("relay", err)
		return exitFailed
	}
	c.Log.Info("relay ends", "from_device", n.Passed[0], "from_application", n.Passed[1], "dropped", n.Dropped[0]+n.Dropped[1], "unheard", n.Untold[0]+n.Untold[1])
	return exitOK
}

func groupID(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
