package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/stamp"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/serial"
)

// A health is how one part of the installation is.
type health string

const (
	isWell  health = "ok"
	unsure  health = "warning"
	ill     health = "bad"
	nothing health = "not-run"
)

// A finding is one line of posdx doctor.
type finding struct {
	Part   string `json:"part"` // program configuration state rights daemon start ports hook http broker clock sales
	Health health `json:"status"`
	Say    string `json:"say"`
	Do     string `json:"do,omitempty"`
}

// A doctor looks at an installation. It opens no device and sends nothing to the network: what only the daemon can know
// it asks the daemon.
type doctor struct {
	lang   string
	list   []finding
	client *clientFlags
	c      config
	state  *report.State // nil where no daemon answers
}

func runDoctor(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "doctor", "[--config FILE] [--json]",
		"检查 posdx 在本机的安装和配置，并说明该怎么做：程序、配置、权限、目录、守护进程、开机启动、端口和占用者、支付应用接口、管理平台、时钟、是否收到应答码。不打开设备，不发送任何内容。用 root 运行才看得全。\n"+
			"退出码：0 正常，可能有注意事项；4 有故障；2 用法不对。",
		"Looks whether posdx is installed and set up well here, and says what to do: program, configuration, rights, folders, daemon, start at boot, ports and who holds them, the hook, the way to the fleet, the clock, and whether codes come in. No device is opened and nothing is sent. Run it as root to see everything.\n"+
			"Exit codes: 0 well, perhaps with warnings; 4 something is wrong; 2 wrong usage.",
		"posdx doctor --lang en")
	asJSON := f.Bool("json", false, jsonUsage)
	client := addClientFlags(f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || !client.valid(s) {
		misuse(s, f, words, 0)
		return exitUsage
	}
	d := doctor{lang: s.lang(), client: client}
	d.examine(ctx)
	exit := exitOK
	for _, f := range d.list {
		if f.Health == ill {
			exit = exitBad
		}
	}
	if *asJSON {
		json.NewEncoder(s.out).Encode(d.list)
		return exit
	}
	signs := map[health]string{isWell: d.say("正常", "ok  "), unsure: d.say("注意", "note"), ill: d.say("故障", "BAD "), nothing: d.say("未查", "--  ")}
	for _, f := range d.list {
		fmt.Fprintf(s.out, d.say("%s  %s：%s\n", "%s  %s: %s\n"), signs[f.Health], d.part(f.Part), f.Say)
		if f.Do != "" {
			fmt.Fprintf(s.out, "      -> %s\n", f.Do)
		}
	}
	return exit
}

// parts are the parts of an installation in Chinese; in English they are called by their ids.
var parts = map[string]string{
	"program": "程序", "configuration": "配置", "state": "数据目录", "rights": "权限", "daemon": "守护进程", "start": "开机启动", "port": "端口",
	"hook": "支付应用接口", "http": "HTTP 接口", "broker": "管理平台", "clock": "时钟", "sales": "交易",
}

// part names a part of the installation, with the device if it is one of several.
func (d *doctor) part(id string) string {
	name, device, _ := strings.Cut(id, " ")
	if d.lang != "en" {
		name = cmp.Or(parts[name], name)
	}
	return strings.TrimSpace(name + " " + device)
}

func (d *doctor) err(err error) string { return say.Error(err, d.lang) }

func (d *doctor) say(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(d.lang) }

func (d *doctor) add(part string, h health, what, do string) {
	d.list = append(d.list, finding{part, h, strings.ReplaceAll(what, "\n", " "), do})
}

func (d *doctor) examine(ctx context.Context) {
	d.add("program", isWell, fmt.Sprintf("posdx %s, %s", version, codes.Builtin().Version), "")
	if !d.configuration() {
		d.daemon(ctx)
		d.clock()
		return
	}
	d.stateDir()
	d.daemon(ctx)
	d.boot()
	d.ports()
	d.hookDoor()
	d.hookHTTP(ctx)
	d.broker()
	d.clock()
	d.sales()
}

// configuration tells whether the daemon can start with it.
func (d *doctor) configuration() bool {
	path := *d.client.config
	c, problems, err := readConfig(path)
	d.c = c
	for _, p := range problems {
		h := unsure
		if p.Level != conf.Warning {
			h = ill
		}
		d.add("configuration", h, p.In(d.lang), "")
	}
	if err != nil {
		d.add("configuration", ill, d.say("守护进程不能以此配置启动", "the daemon does not start with it"), d.say("改正上面各项，再运行 ", "put right what is named above, then: ")+"posdx config check "+path)
		return false
	}
	if len(problems.Of(conf.Fault)) == 0 {
		d.add("configuration", isWell, fmt.Sprintf(d.say("%s，终端 %s，机构 %s", "%s: terminal %s of estate %s"), path, c.Terminal, c.Estate), "")
	}
	return true
}

func (d *doctor) stateDir() {
	dir := d.c.StateDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.add("state", unsure, fmt.Sprintf(d.say("%s 不存在", "%s is not there"), dir), d.say("守护进程启动时建立；若它没有权限：", "the daemon makes it when it starts; if it may not: ")+"install -d -o posdx -g posdx -m 700 "+dir)
		return
	case err != nil:
		d.add("state", ill, d.err(err), d.say("请用 root 运行", "run this as root"))
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		d.add("state", ill, d.err(err), "")
		return
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		d.add("state", ill, fmt.Sprintf(d.say("%s 所在文件系统只读：重启后诊断会丢失", "the file system of %s is read-only: diagnoses are lost with the power"), dir), d.say("把 state_dir 移到可写的闪存分区", "put state_dir on a partition that can be written"))
	case free < d.c.Outbox.MaxBytes:
		d.add("state", unsure, fmt.Sprintf(d.say("%s 只剩 %d kB，配置允许用到 %d kB", "%s has %d kB left; the configuration lets %d kB be used"), dir, free>>10, d.c.Outbox.MaxBytes>>10), d.say("清理空间，或减小 outbox.max_bytes", "make room, or make outbox.max_bytes smaller"))
	default:
		d.add("state", isWell, fmt.Sprintf(d.say("%s，剩余 %d MB", "%s, %d MB free"), dir, free>>20), "")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() && os.Getuid() != 0 {
		d.add("rights", unsure, d.say("当前用户既不是 root 也不是守护进程的用户，有些项看不到", "this user is neither root nor the daemon's: some things cannot be seen"), d.say("请用 root 运行", "run this as root"))
	}
}

func (d *doctor) daemon(ctx context.Context) {
	c, err := d.client.daemon()
	var st report.State
	if err == nil {
		st, err = c.State(ctx)
	}
	switch {
	case errors.Is(err, errNoAnswer):
		d.add("daemon", ill, d.err(err), "systemctl restart posdx  /  /etc/init.d/posdx restart")
		return
	case errors.Is(err, hook.ErrNoDaemon):
		d.add("daemon", ill, d.say("没有运行", "it does not run"), "systemctl start posdx  /  /etc/init.d/posdx start")
		return
	case err != nil:
		d.add("daemon", ill, d.err(err), d.say("用 root 运行，或加入该组", "run this as root, or join the socket's group"))
		return
	}
	d.state = &st
	switch {
	case st.Agent.Version != version:
		d.add("daemon", unsure, fmt.Sprintf(d.say("运行的是 %s，本程序是 %s", "%s runs, this program is %s"), st.Agent.Version, version), "systemctl restart posdx  /  /etc/init.d/posdx restart")
	case st.Reduced != "":
		d.add("daemon", ill, fmt.Sprintf(d.say("降级运行：%s", "it runs reduced: %s"), say.Heard(st.Reduced).In(d.lang)), d.say("posdx bundle 并联系厂商", "posdx bundle, and send it to the vendor"))
	default:
		d.add("daemon", isWell, fmt.Sprintf(d.say("运行正常，已启动的检查 %d 项", "it runs and answers, %d checks"), len(st.Checks)), "")
	}
}

// boot looks whether anything starts the daemon.
func (d *doctor) boot() {
	for _, pattern := range []string{"/etc/systemd/system/*.wants/posdx.service", "/etc/rc*.d/S*posdx", "/etc/rcS.d/S*posdx"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			d.add("start", isWell, found[0], "")
			return
		}
	}
	d.add("start", unsure, d.say("开机时不会自动启动", "nothing starts it at boot"), "systemctl enable posdx  /  ln -s ../init.d/posdx /etc/rcS.d/S95posdx")
}

// ports looks at every port of the configuration without opening one.
func (d *doctor) ports() {
	look := func(name, port string) {
		if port == "" {
			return
		}
		part := "port " + name
		real, err := serial.Resolve(port)
		if err == nil {
			_, err = os.Stat(real)
		}
		if err != nil {
			d.add(part, unsure, fmt.Sprintf(d.say("%s 不在", "%s is not there"), port), d.say("检查接线和设备名：ls -l /dev/serial/by-id", "look at the cable and the name: ls -l /dev/serial/by-id"))
			return
		}
		if err := unix.Access(real, unix.R_OK|unix.W_OK); err != nil && os.Getuid() != 0 {
			d.add(part, unsure, fmt.Sprintf(d.say("当前用户无权打开 %s", "this user may not open %s"), real), d.say("守护进程的用户须在 dialout 组中", "the daemon's user must be in the group dialout"))
			return
		}
		use, err := serial.Look(real)
		switch {
		case err != nil:
			d.add(part, nothing, d.err(err), "")
		case use.Held:
			d.add(part, isWell, fmt.Sprintf(d.say("%s 被占用（%v），posdx 不会碰它", "%s is held by %v; posdx leaves it alone"), real, use.Owner), "")
		case use.Blind:
			d.add(part, nothing, fmt.Sprintf(d.say("%s 看来空闲，但看不到所有进程", "%s looks free, but not every process can be seen"), real), d.say("请用 root 运行", "run this as root"))
		default:
			d.add(part, isWell, real, "")
		}
	}
	for _, list := range [][]conf.Port{d.c.Reader, d.c.Modem, d.c.PINPad, d.c.Printer} {
		for _, p := range list {
			look(p.Name, p.Port)
			for _, rx := range p.RX {
				look(p.Name, rx)
			}
		}
	}
	for _, l := range d.c.ECR {
		for _, p := range l.Ports() {
			look(l.Name, p)
		}
	}
}

func (d *doctor) hookDoor() {
	info, err := os.Stat(d.c.Hook.Socket)
	if err != nil {
		return // the daemon's line says so
	}
	d.add("hook", isWell, fmt.Sprintf("%s %s", d.c.Hook.Socket, info.Mode()), "")
	if d.c.Hook.Group == "" {
		d.add("hook", unsure, d.say("没有配置 hook.group：只有 root 和守护进程自己的组能报告应答码", "no hook.group: only root and the daemon's own group can report codes"), d.say("填写支付应用所在的组", "name the payment application's group"))
	}
}

// hookHTTP asks over HTTP as a payment application would, where that is configured and a daemon runs.
func (d *doctor) hookHTTP(ctx context.Context) {
	h := d.c.Hook
	if h.HTTP == "" || d.state == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, *d.client.timeout)
	defer stop()
	if _, err := hook.AskHTTP(ctx, h.HTTP, h.TokenFile); err != nil {
		d.add("http", ill, h.HTTP+d.say("：", ": ")+d.err(err), d.say("看守护进程的日志；令牌文件须让 posdx 用户可读、其他人不可读", "see the daemon's log; the user posdx must be able to read the token file, and not everybody"))
		return
	}
	d.add("http", isWell, h.HTTP, "")
}

func (d *doctor) broker() {
	if len(d.c.Broker.URL) == 0 {
		d.add("broker", unsure, d.say("没有配置管理平台：诊断只留在本机", "no fleet is configured: diagnoses stay on this terminal"), "broker.url")
		return
	}
	if d.state == nil {
		d.add("broker", nothing, d.say("守护进程没有回答，不知道", "only the daemon knows, and it does not answer"), "")
		return
	}
	u := d.state.Uplink
	if u.Connected && u.Why == "" {
		d.add("broker", isWell, fmt.Sprintf(d.say("已连接，待发 %d 条", "connected, %d records wait"), u.Waiting), "")
		return
	}
	h, do := unsure, ""
	if !u.Connected {
		h, do = ill, d.say("检查 broker.url、证书和网络；防火墙须放行该端口", "look at broker.url, the certificates and the network; a firewall must let the port through")
	}
	how := d.say("未连接", "not connected")
	if u.Connected {
		how = d.say("已连接", "connected")
	}
	d.add("broker", h, fmt.Sprintf(d.say("%s：%s，待发 %d 条", "%s: %s, %d records wait"), how, say.Heard(u.Why).In(d.lang), u.Waiting), do)
}

func (d *doctor) clock() {
	now := time.Now()
	text := now.Format(localTime)
	if !stamp.ClockTrusted(now) {
		d.add("clock", unsure, fmt.Sprintf(d.say("%s，内核不认为时钟已同步", "%s; the kernel does not call it synchronised"), text), d.say("启用 NTP（chrony、systemd-timesyncd）", "run an NTP client (chrony, systemd-timesyncd)"))
		return
	}
	d.add("clock", isWell, text, "")
}

// sales checks that response codes arrive at all. Without this check an installation that receives none would look
// healthy.
func (d *doctor) sales() {
	switch {
	case d.state == nil:
	case d.state.Last != nil || len(d.state.Recent) > 0:
		at := time.Time{}
		if len(d.state.Recent) > 0 {
			at = d.state.Recent[0].Time
		} else {
			at = d.state.Last.Event.Time
		}
		d.add("sales", isWell, fmt.Sprintf(d.say("最近一次应答码诊断 %s", "the last code was diagnosed at %s"), at.Local().Format("2006-01-02 15:04 MST")), "")
	default:
		d.add("sales", unsure, d.say("还没有收到过任何失败的应答码", "no code of a failed sale has come in yet"), d.say("用支付应用做一笔会被拒绝的交易，或 posdx report --code 55 试验", "make a sale that is declined, or try posdx report --code 55"))
	}
}
