package main

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"strconv"

	"posdx/agent/internal/keeper"
	"posdx/agent/internal/relay"
	"posdx/agent/internal/say"
	"posdx/agent/report"
)

// runRelay ends a wrong use as run ends a wrong configuration: its supervisor leaves it at that, and must not where it
// has crashed, which is Go's 2.
func runRelay(ctx context.Context, s stdio, args []string) int {
	code := passOn(ctx, s, args)
	if code == exitUsage {
		return exitConfig
	}
	return code
}

// passOn reads no configuration: a mistake in the daemon's must not stop a payment.
func passOn(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "relay", "--device DEV --baud N (--link PATH | --port DEV) [--framing 7E1] [--copies SOCKET]",
		"接在支付应用和串口之间，让 posdx 能听到一条既不能另接线旁听（rx）、也不能自己占有的链路。这是三种办法里最后的选择：它夹在支付中间。它是单独的进程，一切照传，守护进程只拿到当时收得下的副本。\n"+
			"支付应用打开 --link 给出的路径，而不是设备。它后面是伪终端：速率、停止位和流控跟随支付应用；字符位数和校验伪终端不会告诉，由 --framing 给出；控制线和中断信号传不过去，tcdrain 会提前返回。用 --port 时，另一个真实串口用交叉线接到支付应用的串口，控制线和中断信号也传过去，--baud 和 --framing 对两边都有效。设备不在时，支付应用什么也收不到，写出的内容丢弃，就像线被拔掉；它的串口一直开着，设备回来就继续。\n"+
			"退出码：0 按要求停止；1 建不成链路或伪终端；2 崩溃：请重新启动；78 用法不对：重启没有用。",
		"Stands between a payment application and a serial port, so that posdx can hear a link that it can neither hear on a wire of its own (rx) nor own. The last choice of the three: it is in the way of payments, as a process of its own that passes everything on and gives the daemon copies only as far as the daemon takes them at once.\n"+
			"The application opens the link instead of the device. Behind it is a pty: baud rate, stop bits and flow control follow the application; character size and parity a pty does not tell, so --framing says them; modem lines and breaks do not pass, and tcdrain returns early. With --port, a second real port wired to the application's by a null modem, lines and breaks pass too, and --baud and --framing hold for both. While the device is away the application hears nothing, and what it writes is dropped, as with a cable that is out; it keeps its port open and goes on when the device is back.\n"+
			"Exit codes: 0 told to stop; 1 the link or the pty cannot be made; 2 it crashed: start it again; 78 wrong usage: a restart cannot help.",
		"posdx relay --device /dev/ttyS1 --baud 9600 --link /run/posdx-relay/ecr0/tty")
	c := relay.Config{Group: -1}
	f.StringVar(&c.Device, "device", "", "真实串口：`设备`文件，或 usb:VID:PID[,interface=NN][,serial=S]\nthe real port: a device `file`, or usb:VID:PID[,interface=NN][,serial=S]")
	f.StringVar(&c.Link, "link", "", "支付应用打开的`路径`，是指向伪终端的符号链接\n`path` at which the application finds its port, a symbolic link to a pty")
	f.StringVar(&c.Port, "port", "", "代替 --link：另一个真实串口的`设备`文件\ninstead of --link, a second real port, a device `file`")
	group := f.String("group", "", "除本进程的用户外还能打开伪终端的`用户组`；该用户要在组里\n`group` that may open the pty besides the relay's own user, who must be a member")
	baud := f.Int("baud", 0, "起始`速率`，支付应用改了就跟随\n`speed` until the application sets another")
	framing := f.String("framing", "8N1", "`帧格式`，即数据位、校验、停止位：8N1 7E1 …\n`framing`, that is data bits, parity, stop bits: 8N1 7E1 …")
	hardware := f.Bool("rtscts", false, "用 RTS 和 CTS 流控，配合 --port\nRTS and CTS stop the flow, with --port")
	f.StringVar(&c.Copies, "copies", "", "守护进程收副本的`套接字`，与 [[ecr]] 一致；默认没有谁听\nthe daemon's `socket` for copies, as in [[ecr]]; default: nobody hears")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || c.Device == "" || (c.Link == "") == (c.Port == "") {
		misuse(s, f, words, 0)
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
		return 0, say.New("no-such-group", name)
	}
	return strconv.Atoi(g.Gid)
}
