package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/agent/internal/source/hook"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// cardUser is whom the daemon under test runs as, where the test is root: a user like the package's, with the one
// capability that capture needs.
const cardUser = 4711

// TestCardDataCannotGetOut runs the built daemon, a relay and a console of their own, with every channel that could
// carry card data, plants cards that never were in every field and form, cut at every byte, and looks for any part of
// them in everything that leaves: MQTT, the state directory, the log, answers, console, status, bundle, core, and the
// process's own memory.
//
// POSDX_CARDDATA=long cuts at every byte on every channel and waits 60 s before it looks into the memory.
func TestCardDataCannotGetOut(t *testing.T) {
	long := os.Getenv("POSDX_CARDDATA") == "long"
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 4))
	h := &cardHouse{t: t, long: long, plants: []plant{newPlant(rnd, "4761", 16), newPlant(rnd, "622848", 19), newPlant(rnd, "3742", 15)}}
	h.start()
	h.startOthers()
	h.everywhere()
	h.wait()
	h.memory("the daemon", h.daemon.Process.Pid, "host-primary") // before anything else uses it again
	h.memory("the relay", h.relay.Process.Pid, relayName)
	h.memory("the console", h.console2.Process.Pid, "host-primary")
	h.look()
	h.core()
}

// A cardHouse is a daemon, all that feeds it, and all that comes out of it.
type cardHouse struct {
	t       *testing.T
	long    bool
	plants  []plant
	dir     string // the daemon's; the test's own files lie elsewhere
	out     string
	program string
	daemon  *exec.Cmd
	talk    housetest.Buffer
	said    housetest.Buffer // by the hook
	heard   housetest.Buffer // from the broker
	session mqtt.Client
	root    bool
	logs    [2]string
	lines   map[string]*os.File // the far end of each register link, by framing
	person  *os.File            // the far end of the console's line
	reader  *os.File
	host    net.Listener
	web     string // where the hook listens over HTTP

	relay, console2 *exec.Cmd   // processes of their own
	relayed         [2]*os.File // the application's end of the relay, and the device's
	person2         *os.File    // the far end of the console's own process
}

const webToken = "the-token-of-this-house"

func (h *cardHouse) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *cardHouse) eventually(what string, ok func() bool) {
	h.t.Helper()
	if !housetest.Within(2*time.Minute, ok) {
		h.t.Fatalf("not within two minutes: %s\n%s", what, h.talk.Bytes())
	}
}

// line makes a pty and returns the path of its near end, for the daemon.
func (h *cardHouse) line() (far *os.File, near string) {
	far, near = housetest.TTY(h.t)
	if h.root {
		h.must(os.Chown(near, cardUser, -1))
	}
	return far, near
}

func (h *cardHouse) start() {
	t := h.t
	var err error
	h.dir, err = os.MkdirTemp("", "posdx-cards")
	h.must(err)
	t.Cleanup(func() { os.RemoveAll(h.dir) })
	h.out, h.root = t.TempDir(), os.Getuid() == 0
	h.program = filepath.Join(h.dir, "cards") // another test looks for processes called posdx
	build := exec.Command("go", "build", "-o", h.program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for i, name := range []string{"pay.log", "debug.log"} {
		h.logs[i] = filepath.Join(h.dir, name)
		h.must(os.WriteFile(h.logs[i], nil, 0o644))
	}
	h.host, err = net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	t.Cleanup(func() { h.host.Close() })
	_, hostPort, _ := net.SplitHostPort(h.host.Addr().String())
	brokerPort := h.startBroker()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.web = l.Addr().String()
	l.Close()
	h.must(os.WriteFile(h.dir+"/token", []byte(webToken), 0o600))
	text := least + fmt.Sprintf("language = \"en\"\nstate_dir = %q\n[hook]\nsocket = %q\nhttp = %q\ntoken_file = %q\n[broker]\nurl = [\"tcp://127.0.0.1:%s\"]\ndelivery = \"broker\"\n",
		h.dir+"/state", h.dir+"/hook.sock", h.web, h.dir+"/token", brokerPort)
	text += fmt.Sprintf("[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = %s\n", hostPort)
	const groups = `RC=(?P<code>\S+)(?: stan=(?P<stan>\S+) tid=(?P<tid>\S+) at=(?P<time>\S+))?`
	text += fmt.Sprintf("[[log]]\npath = %q\npatterns = ['%s', 'MSG (?P<message>.*)', 'HEX (?P<code_hex>\\S+)']\ntime_layout = \"15:04:05\"\n", h.logs[0], groups)
	text += fmt.Sprintf("[[log]]\npath = %q\nencoding = \"gb18030\"\nbegin = '^\\d\\d:'\npatterns = ['(?s)%s']\n", h.logs[1], groups)
	h.lines = map[string]*os.File{}
	for i, l := range h.plants[0].links(t) {
		far, near := h.line()
		h.lines[l.framing] = far
		text += fmt.Sprintf("[[ecr]]\nname = \"ecr%d\"\nframing = %q\nrx = [%q]\nbaud = 115200\n", i, l.framing, near)
	}
	far, near := h.line()
	h.reader = far
	text += fmt.Sprintf("[[reader]]\nname = \"reader0\"\nrx = [%q]\nbaud = 9600\nprotocol = \"msr\"\n", near)
	h.person, near = h.line()
	text += fmt.Sprintf("[console]\ntty = %q\nbaud = 115200\n", near)
	text += "[[ecr]]\nname = \"relayed\"\nframing = \"mispos\"\nway = \"relay\"\n"
	if h.root {
		text += "[capture]\non = true\ninterface = \"lo\"\n"
	} else {
		t.Log("not root: the wire is not watched, and the daemon runs as this user")
	}
	h.must(os.WriteFile(h.dir+"/posdx.toml", []byte(text), 0o644))

	h.daemon = exec.Command(h.program, "run", "--verbose", "--config", h.dir+"/posdx.toml")
	h.daemon.Dir = h.dir
	// As somebody starts it who has not read the unit, and with the most that a crash can say and leave behind.
	h.daemon.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GODEBUG=") }), "GOTRACEBACK=crash")
	h.daemon.Stdout, h.daemon.Stderr = &h.talk, &h.talk
	if h.root {
		h.must(filepath.WalkDir(h.dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, cardUser, cardUser)
		}))
		h.must(os.Chmod(h.dir, 0o755))
		const netRaw = 13
		h.daemon.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: cardUser, Gid: cardUser},
			AmbientCaps: []uintptr{netRaw}}
	}
	// A core is allowed here; the daemon has to forbid it itself.
	unlimited := syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30}
	var before syscall.Rlimit
	h.must(syscall.Getrlimit(syscall.RLIMIT_CORE, &before))
	if before.Max >= unlimited.Max {
		h.must(syscall.Setrlimit(syscall.RLIMIT_CORE, &unlimited))
		defer syscall.Setrlimit(syscall.RLIMIT_CORE, &before)
	}
	h.must(h.daemon.Start())
	t.Cleanup(func() { h.daemon.Process.Kill(); h.daemon.Wait() })
	h.eventually("the hook answers", func() bool { _, err := h.client().State(t.Context()); return err == nil })
	h.eventually("the links are listened to", func() bool {
		return bytes.Count(h.talk.Bytes(), []byte("register link is listened to")) == len(h.lines)+1
	})
	if h.root {
		h.eventually("the wire is watched", func() bool { return bytes.Contains(h.talk.Bytes(), []byte("connections to the hosts are watched")) })
	}
}

func (h *cardHouse) client() hook.Client { return hook.Client{Path: h.dir + "/hook.sock"} }

func (h *cardHouse) startBroker() (port string) {
	broker := housetest.NewMosquitto(h.t, "allow_anonymous true\npersistence false\nmax_queued_messages 0\n")
	o := mqtt.NewClientOptions().AddBroker(broker.URL()).SetClientID("watcher").SetConnectRetry(true).
		SetConnectRetryInterval(50 * time.Millisecond)
	h.session = mqtt.NewClient(o)
	if token := h.session.Connect(); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		h.t.Fatalf("connect to mosquitto: %v", token.Error())
	}
	h.t.Cleanup(func() { h.session.Disconnect(0) })
	token := h.session.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) {
		h.heard.Write([]byte(m.Topic() + " "))
		h.heard.Write(append(m.Payload(), '\n'))
	})
	if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		h.t.Fatalf("subscribe: %v", token.Error())
	}
	return broker.Port
}

// cuts are the places at which a message is cut in two: all of them in the long form, some in the short one.
func (h *cardHouse) cuts(b []byte, some int) (at []int) {
	step := 1
	if !h.long {
		step = max(1, len(b)/some)
	}
	for i := 1; i < len(b); i += step {
		at = append(at, i)
	}
	return at
}

// everywhere plants the cards, on all channels at the same time, and then what must be seen, to show that all of them
// were read.
func (h *cardHouse) everywhere() {
	start := time.Now()
	var all sync.WaitGroup
	for _, f := range []func(){h.plantHook, h.plantHTTP, h.plantLogs, h.plantLinks, h.plantWire, h.plantReader,
		func() { h.plantConsole(h.person) }, func() { h.plantConsole(h.person2) }, h.plantRelay, h.plantRelayed} {
		all.Go(f)
	}
	all.Wait()
	took := func(what string) { h.t.Logf("%s after %v", what, time.Since(start).Round(time.Millisecond)) }
	took("planted")
	for _, channel := range []string{"hook", "log", "ecr", "capture"} {
		if channel == "capture" && !h.root {
			continue
		}
		seen := `"channel":"` + channel + `"`
		h.eventually("a code on "+channel, func() bool { return bytes.Contains(h.heard.Bytes(), []byte(seen)) })
	}
	if h.root {
		// How many there were is all that is known of the cards.
		h.eventually("cards are counted", func() bool { return bytes.Contains(h.heard.Bytes(), []byte(`"cards_same_code_1h":1`)) })
	}
	took("heard of")
}

// ask sends a line in pieces and reads the answers to it; a connection that was refused is opened again.
func (h *cardHouse) ask(c net.Conn, pieces ...[]byte) bool {
	for _, p := range pieces {
		if _, err := c.Write(p); err != nil {
			return false
		}
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadBytes('\n')
		h.said.Write(line)
		if err != nil {
			return false
		}
		if !bytes.Contains(line, []byte(`"more":true`)) {
			return true
		}
	}
}

func (h *cardHouse) plantHook() {
	dial := func() net.Conn {
		c, err := net.Dial("unix", h.dir+"/hook.sock")
		h.must(err)
		return c
	}
	c := dial()
	defer func() { c.Close() }()
	for i, p := range h.plants {
		for k, form := range p.forms() {
			for _, line := range p.requests(h.t, form) {
				cuts := []int{len(line) / 2}
				if len(line) < 8000 && i == 0 && (k%5 == 0 || h.long && k < 5) {
					cuts = h.cuts(line, 20)
				}
				for _, at := range cuts {
					if !h.ask(c, line[:at], line[at:]) {
						c.Close()
						c = dial()
					}
				}
			}
		}
		// Clients that die, that stop in the middle, and that only wait for the revision that is final.
		dead := dial()
		fmt.Fprintf(dead, `{"type":"code","code":"96","pan":"%s`, p.pan)
		dead.Close()
		stopped := dial()
		fmt.Fprintf(stopped, `{"type":"code","code":"96","pan":"%s`, p.track1)
		h.t.Cleanup(func() { stopped.Close() })
		h.ask(c, fmt.Appendf(nil, `{"type":"code","code":"T-9%d","pan":"%s","wait":"final","full":true}`+"\n", i, p.pan))
	}
}

// plantHTTP sends cards over HTTP: in bodies, whole and cut, in addresses, in headers, and in requests that never end.
func (h *cardHouse) plantHTTP() {
	send := func(pieces ...[]byte) {
		c, err := net.Dial("tcp", h.web)
		h.must(err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		for _, p := range pieces {
			c.Write(p)
		}
		b, _ := io.ReadAll(c)
		h.said.Write(append(b, '\n'))
	}
	head := func(path, more string, length int) []byte {
		return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n", path, h.web, webToken, more, length)
	}
	for i, p := range h.plants {
		for k, form := range p.forms() {
			for _, line := range p.requests(h.t, form) {
				if len(line) > 8000 || !h.long && k%4 != 0 {
					continue
				}
				cuts := []int{len(line) / 2}
				if i == 0 && k == 0 {
					cuts = h.cuts(line, 8)
				}
				for _, at := range cuts {
					send(head("/v1/hook", "", len(line)), line[:at], line[at:])
				}
			}
		}
		body := fmt.Appendf(nil, `{"SaleToPOIRequest":{"MessageHeader":{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","SaleID":"%s","POIID":"p"},"PaymentRequest":{"PaymentData":{"CardData":{"PAN":"%s","TrackData":[{"TrackValue":"%s"}]}}}}}`, p.pan, p.pan, p.track2)
		send(head("/v1/nexo", "", len(body)), body)
		send(head("/v1/hook?pan="+p.pan, "X-Track: "+p.track2+"\r\n", 2), []byte("{}"))
		stopped, err := net.Dial("tcp", h.web)
		h.must(err)
		h.t.Cleanup(func() { stopped.Close() })
		stopped.Write(append(head("/v1/hook", "", 500), `{"type":"code","code":"96","pan":"`+p.pan...))
	}
}

func (h *cardHouse) plantLogs() {
	for i, path := range h.logs {
		write := func(s string, everywhere bool) {
			if i == 1 {
				s, _ = simplifiedchinese.GB18030.NewEncoder().String("10:00:00 交易 卡号 " + s)
			}
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			h.must(err)
			defer f.Close()
			b := []byte(s)
			cuts := []int{len(b) / 2}
			if everywhere && h.long && len(b) < 1000 {
				cuts = h.cuts(b, 0)
			}
			for _, at := range cuts {
				f.Write(b[:at])
				time.Sleep(25 * time.Millisecond) // longer than the reader lets changes settle: it sees the first half
				f.Write(b[at:])
			}
		}
		for n, p := range h.plants {
			for k, form := range p.forms() {
				if !h.long && k%3 > 0 {
					continue
				}
				for _, line := range p.logLines(form) {
					write(line, n == 0 && k < 5)
				}
			}
			// Turned over as logrotate does, before anybody could read the last lines.
			write(p.lastLine(p.pan), false)
			b, err := os.ReadFile(path)
			h.must(err)
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(append(b, p.lastLine(p.pan)...))
			w.Close()
			h.must(os.WriteFile(path+".1.gz", z.Bytes(), 0o644))
			h.must(os.Truncate(path, 0))
		}
		write(strings.TrimSuffix(h.plants[0].lastLine(h.plants[0].track1), "\n"), false) // and a line that never ends
	}
}

// put writes to a line. A line that nobody reads holds nothing up, and drops what does not fit.
func put(far *os.File, b []byte) {
	far.SetWriteDeadline(time.Now().Add(time.Second))
	far.Write(b)
}

func (h *cardHouse) plantLinks() {
	var all sync.WaitGroup
	for i, p := range h.plants {
		for _, l := range p.links(h.t) {
			if i > 0 && !h.long {
				continue
			}
			all.Go(func() {
				far := h.lines[l.framing]
				for _, frame := range l.frames {
					for _, at := range h.cuts(frame, 12) {
						put(far, frame[:at])
						time.Sleep(2 * time.Millisecond) // a line's pace, so that a read ends at the cut
						put(far, frame[at:])
						time.Sleep(2 * time.Millisecond) // and the next one does not begin within it
					}
					put(far, frame[:len(frame)*2/3])   // stops in the middle
					time.Sleep(700 * time.Millisecond) // longer than a decoder waits for the rest
				}
				put(far, []byte(p.track2+p.track1+string(p.pin)+string(pack(p.pan)))) // between frames
			})
		}
		all.Wait()
	}
}

func (h *cardHouse) plantReader() {
	for _, p := range h.plants {
		for _, s := range []string{p.track1 + p.track2 + "\r\n", "\x02" + p.track2 + "\x03", p.track1 + "\n", p.track2[:20],
			string(p.pin)} {
			for _, at := range h.cuts([]byte(s), 6) {
				put(h.reader, []byte(s[:at]))
				time.Sleep(2 * time.Millisecond) // a line's pace, so that a read ends at the cut
				put(h.reader, []byte(s[at:]))
			}
		}
	}
}

// plantConsole swipes cards, as a reader does that types like a keyboard, into every field of the console.
func (h *cardHouse) plantConsole(person *os.File) {
	var shown atomic.Int64
	go housetest.Hear(person, func(b []byte) { shown.Add(int64(len(b))) })
	put(person, []byte("\r"))
	h.eventually("the console shows a page", func() bool { return shown.Load() > 400 }) // it asks first what the terminal is
	for _, p := range h.plants {
		for _, key := range "23456789elgh" {
			put(person, []byte{byte(key)})
			time.Sleep(10 * time.Millisecond) // a fast typist's pace: the screen may be painted before the swipe
			for _, s := range []string{p.pan, p.track1 + p.track2, p.track2, grouped(p.pan, " "), "RC " + p.pan} {
				put(person, []byte(s+"\r"))
				time.Sleep(5 * time.Millisecond) // as above, between two swipes
			}
			put(person, []byte{0x1b, 0x1b})
		}
	}
	put(person, []byte("z")) // a bundle goes out, and what is swiped now goes to who sends it
	for _, p := range h.plants {
		put(person, []byte(p.track1+p.track2+"\r"))
		time.Sleep(5 * time.Millisecond) // as above
	}
	put(person, []byte("\x18\x18\x18\x18\x18"))
}

// plantRelay sends what a relay copies: the link's frames from both sides, cut anywhere.
func (h *cardHouse) plantRelay() {
	c, err := net.Dial("unixgram", h.dir+"/relayed.relay")
	h.must(err)
	defer c.Close()
	for _, p := range h.plants {
		for _, frame := range append(p.links(h.t)[0].frames, []byte(p.track1+p.track2)) {
			for _, at := range h.cuts(frame, 12) {
				for side, data := range [][]byte{frame[:at], frame[at:], frame[:at], frame[at:]} {
					c.SetWriteDeadline(time.Now().Add(time.Second))
					c.Write(serial.Copy{From: serial.Side(side / 2), Device: true, App: true, Data: data}.Append(nil))
				}
				time.Sleep(2 * time.Millisecond) // the relay's pace: the socket keeps few datagrams
			}
		}
	}
}

// plantWire makes sales at the host, with cards both ways, while the daemon watches the wire.
func (h *cardHouse) plantWire() {
	framed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	type exchange struct {
		request, answer []byte
		at              int
	}
	var now atomic.Pointer[exchange]
	go func() {
		for {
			c, err := h.host.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				// The daemon's own checks come too, and send nothing.
				if x := now.Load(); x != nil {
					if _, err := io.ReadFull(c, make([]byte, len(x.request))); err == nil {
						c.Write(x.answer[:x.at])
						time.Sleep(time.Millisecond) // two packets, not one
						c.Write(x.answer[x.at:])
					}
				}
			}()
		}
	}()
	sale := func(request, answer []byte, at int) {
		now.Store(&exchange{request, answer, at})
		c, err := net.Dial("tcp", h.host.Addr().String())
		h.must(err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		half := min(at, len(request)-1)
		c.Write(request[:half])
		time.Sleep(time.Millisecond) // two packets, not one
		c.Write(request[half:])
		if b, err := io.ReadAll(c); err != nil || len(b) != len(answer) {
			h.t.Errorf("the host answered %d bytes of %d, %v", len(b), len(answer), err)
		}
	}
	for i, p := range h.plants {
		request, answer := framed(p.message(h.t, "0200", "")), framed(p.message(h.t, "0210", fmt.Sprintf("9%d", i+1)))
		for _, at := range h.cuts(answer, 10) {
			sale(request, answer, at)
		}
		sale([]byte(p.track1+p.track2+p.pan+string(p.pin)), []byte(p.track2), 5) // no message at all
	}
}

// wait gives what is in memory the time to be gone that an attacker would lose: half lines are dropped after seconds.
func (h *cardHouse) wait() {
	pause := 7 * time.Second
	if h.long {
		pause = time.Minute
	}
	time.Sleep(pause) // nothing happens that could be waited for: memory is let go of in silence
}

// look searches everything that left, and the memory.
func (h *cardHouse) look() {
	t := h.t
	status := func(args ...string) []byte {
		out, err := exec.Command(h.program, append(args, "--socket", h.dir+"/hook.sock")...).CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Errorf("posdx %s: %v", args[0], err)
		}
		return out
	}
	// The last diagnosis is in the status and the bundle, whatever the outbox has forgotten since.
	c, err := net.Dial("unix", h.dir+"/hook.sock")
	h.must(err)
	h.ask(c, []byte(`{"type":"code","code":"T-98","wait":"final"}`+"\n"))
	c.Close()
	for _, name := range []string{"health", "bundle"} {
		h.session.Publish("pos/v1/shop/t1/cmd/"+name, 1, false, `{"id":"q-`+name+`","args":{"send":true}}`).Wait()
	}
	h.eventually("the fleet's commands are answered", func() bool {
		b := h.heard.Bytes()
		return bytes.Contains(b, []byte(`reply/health {`)) && bytes.Contains(b, []byte(`reply/bundle {`))
	})
	state, err := h.client().State(t.Context())
	h.must(err)
	if n := state.Self["scrubbed"]; n != 0 {
		t.Errorf("the gate had to stop %d places: something before it let them through", n)
	}
	bundle := filepath.Join(h.out, "case.zip")
	if out, err := exec.Command(h.program, "bundle", bundle, "--config", h.dir+"/posdx.toml", "--socket", h.dir+"/hook.sock").CombinedOutput(); err != nil {
		t.Errorf("bundle: %v\n%s", err, out)
	}
	h.clean("MQTT", h.heard.Bytes(), "T-96")
	h.clean("answers of the hook", h.said.Bytes(), `"result":"accepted"`)
	h.clean("log", h.talk.Bytes(), "posdx starts")
	h.clean("status --json", status("status", "--json"), "T-98")
	h.clean("status", status("status"), "shop/t1")
	h.clean("console", h.console(), "\x1b[")
	h.clean("bundle", unpacked(t, bundle), "T-98")
	var kept []byte
	h.must(filepath.WalkDir(h.dir+"/state", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			kept = append(append(kept, path...), b...)
			return err
		}
		return err
	}))
	h.clean("state directory", kept, "pay.log")
}

// console runs the technician's console on a terminal of its own, leafs through its pages and returns what they showed.
func (h *cardHouse) console() []byte {
	c := exec.Command(h.program, "console", "--socket", h.dir+"/hook.sock", "--config", h.dir+"/posdx.toml", "--lang", "en")
	c.Env = append(os.Environ(), "TERM=vt100")
	f, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	h.must(err)
	defer f.Close()
	var screen housetest.Buffer
	go io.Copy(&screen, f)
	h.eventually("the console shows something", func() bool { return len(screen.Bytes()) > 100 })
	for _, key := range "123456789ehg" {
		f.Write([]byte(string(key)))
		time.Sleep(100 * time.Millisecond) // a person's pace: every screen is to be painted
	}
	c.Process.Kill()
	c.Wait()
	return screen.Bytes()
}

// unpacked returns the content of a bundle, as it is and unpacked.
func unpacked(t *testing.T, path string) []byte {
	all, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	z, err := zip.NewReader(bytes.NewReader(all), int64(len(all)))
	if err != nil {
		t.Errorf("bundle: %v", err)
		return all
	}
	for _, f := range z.File {
		all = append(all, f.Name...)
		r, err := f.Open()
		if err == nil {
			var b []byte
			b, err = io.ReadAll(r)
			all = append(all, b...)
		}
		if err != nil {
			t.Errorf("bundle: %s: %v", f.Name, err)
		}
	}
	return all
}

// clean fails if any part of a card is in b, and if what must be there is not: who looks into nothing finds nothing.
func (h *cardHouse) clean(where string, b []byte, control string) {
	h.t.Helper()
	if !bytes.Contains(b, []byte(control)) {
		h.t.Errorf("%s, %d bytes: %q is not there, so the search proves nothing", where, len(b), control)
	}
	for _, hit := range h.hits(b) {
		h.t.Errorf("%s: %s", where, hit)
	}
}

// around is how much of what surrounds a find is shown.
const around = 200

// hits names every part of a card that is in b.
func (h *cardHouse) hits(b []byte) (list []string) {
	for i, p := range h.plants {
		for what, needle := range p.needles() {
			if at := bytes.Index(b, needle); at >= 0 {
				list = append(list, fmt.Sprintf("%s of card %d, %d times, at %#x in …%q…", what, i, bytes.Count(b, needle), at,
					b[max(0, at-around):min(len(b), at+len(needle)+around)]))
			}
		}
	}
	slices.Sort(list)
	return list
}

var writable = regexp.MustCompile(`(?m)^([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ \S+ *(.*)$`)

// memory searches all of a process's writable memory. control is what it certainly remembers.
func (h *cardHouse) memory(who string, pid int, control string) {
	if !h.root {
		h.t.Log("the memory is searched by root only: the daemon lets nobody else look")
		return
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	h.must(err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		h.t.Logf("the memory is not searched, not even by root: %v", err)
		return
	}
	defer mem.Close()
	var all []byte
	total, regions, found := 0, 0, false
	for _, m := range writable.FindAllSubmatch(maps, -1) {
		var from, to int64
		fmt.Sscanf(string(m[1])+" "+string(m[2]), "%x %x", &from, &to)
		all = slices.Grow(all[:0], int(to-from))[:to-from]
		n, err := mem.ReadAt(all, from)
		if err != nil && n == 0 {
			h.t.Logf("%s: %v", m[0], err)
			continue
		}
		total, regions = total+n, regions+1
		for _, hit := range h.hits(all[:n]) {
			h.t.Errorf("memory of %s at %s%s: %s", who, m[1], m[3], hit)
		}
		found = found || bytes.Contains(all[:n], []byte(control))
	}
	if !found {
		h.t.Errorf("what must be in the memory of %s was not found: the search proves nothing", who)
	}
	h.t.Logf("searched %d kB of memory of %s in %d regions", total>>10, who, regions)
}

// core tries to get at the memory as the daemon's own user would, as root, and by a crash.
func (h *cardHouse) core() {
	t, pid := h.t, fmt.Sprint(h.daemon.Process.Pid)
	if fi, err := os.Stat("/proc/" + pid + "/mem"); err != nil {
		t.Error(err)
	} else if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != 0 {
		t.Errorf("the memory belongs to user %d: the daemon may be dumped", uid)
	}
	if gcore, err := exec.LookPath("gcore"); err != nil {
		t.Log("no gcore (Debian package gdb): attaching is not tried")
	} else if h.root {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		same := exec.CommandContext(ctx, gcore, "-o", h.dir+"/stolen", pid)
		same.Dir = h.dir
		same.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: cardUser, Gid: cardUser}}
		if out, err := same.CombinedOutput(); err == nil {
			t.Errorf("the daemon's own user may attach to it: %s", out)
		}
		if h.long {
			file := filepath.Join(h.out, "core")
			if out, err := exec.CommandContext(ctx, gcore, "-o", file, pid).CombinedOutput(); err != nil {
				t.Logf("gcore as root: %v\n%s", err, out)
			} else if b, err := os.ReadFile(file + "." + pid); err != nil {
				t.Error(err)
			} else {
				h.clean("a core that root took", b, "host-primary")
			}
		}
	}
	h.must(h.daemon.Process.Signal(syscall.SIGABRT))
	err := h.daemon.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).CoreDump() {
		t.Errorf("killed: %v, want an end without a core", err)
	}
	cores, _ := filepath.Glob(h.dir + "/*core*")
	if more, _ := filepath.Glob(h.dir + "/stolen*"); len(cores)+len(more) > 0 {
		t.Errorf("there are cores: %q %q", cores, more)
	}
	h.clean("the log of the crash", h.talk.Bytes(), "SIGABRT")
}

// What the daemon says of itself holds the gate's count, so that a fleet sees it when something gets as far as that.
func TestHealthCountsWhatTheGateStopped(t *testing.T) {
	client, _, stop := start(t, "")
	defer stop()
	state, err := client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := state.Self["scrubbed"]; !ok || n != 0 {
		b, _ := json.Marshal(state.Self)
		t.Errorf("the count is %d, %v, in %s", n, ok, b)
	}
}

// What a script gives posdx report by mistake is not repeated where its output is logged.
func TestReportRepeatsNoCard(t *testing.T) {
	client, _, stop := start(t, "")
	defer stop()
	const pan = "4761739001010010"
	for _, args := range [][]string{{"--code", pan}, {pan}, {"--code", "96", "--txn", pan},
		{"--code", "96", "--txn", "connect_ms=" + pan + "x"}, {"--code", "96", "--txn", "=" + pan},
		{"--code", "96", "--txn", "stan=" + pan}, {"--code", "96", "--txn", pan + "=1"}, {"--code", "96", "--scheme", pan}, {"--code", "96", "--origin", pan}, {"--code", "96", "--json", "--txn", "mti=" + pan}} {
		var out, talk strings.Builder
		run(t.Context(), stdio{out: &out, err: &talk, speak: "en"}, append([]string{"report", "--socket", client.Path, "--wait", "first"}, args...))
		if said := out.String() + talk.String(); strings.Contains(said, pan[:12]) || said == "" {
			t.Errorf("report %q said %q", args, said)
		}
	}
}
