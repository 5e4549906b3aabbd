package nettrial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/agent/diagnose"
	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
)

// specVar names the environment variable by which a process knows which trial it is.
const specVar = "POSDX_NET_TRIAL"

// A spec is one trial: faults by name, in one family, with or without TLS. Without faults it is an animal of the zoo.
type spec struct {
	Faults []string
	Animal string // of the zoo's hosts
	Path   string // of the zoo's paths
	Six    bool
	TLS    bool
	Dir    string
}

func (s spec) String() string {
	v, t := "4", "plain"
	if s.Six {
		v = "6"
	}
	if s.TLS {
		t = "tls"
	}
	return fmt.Sprintf("%s%s/%s/%s", strings.Join(s.Faults, "+"), s.Animal+s.Path, v, t)
}

// A result is what a trial ended in.
type result struct {
	Error         string
	Broken, After report.Diagnosis
}

func TestMain(m *testing.M) {
	text := os.Getenv(specVar)
	if text == "" {
		os.Exit(m.Run())
	}
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	do := s.make
	switch {
	case s.Animal != "":
		do = s.visit
	case s.Path != "":
		do = s.walk
	}
	r, err := do()
	if err != nil {
		r.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	os.Exit(0)
}

// A trial is one that is being made.
type trial struct {
	spec
	done   chan struct{}
	result result
	err    error
}

// together is how many trials are made at the same time: most of one's time is waiting.
const together = 6

// begin makes trials, each in a process with namespaces of its own.
func begin(t *testing.T, list []spec) []*trial {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, iproute2 and nftables: makes network namespaces")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs the Debian packages iproute2 and nftables: ", err)
		}
	}
	room := make(chan struct{}, together)
	var all []*trial
	for _, s := range list {
		s.Dir = t.TempDir()
		one := &trial{spec: s, done: make(chan struct{})}
		all = append(all, one)
		go func() {
			room <- struct{}{}
			defer func() { <-room; close(one.done) }()
			one.result, one.err = one.spec.try(t.Context())
		}()
	}
	t.Cleanup(func() {
		for _, one := range all {
			<-one.done
		}
	})
	return all
}

// got waits for the end of a trial.
func (one *trial) got(t *testing.T) result {
	t.Helper()
	<-one.done
	if one.err != nil {
		t.Fatal(one.err)
	}
	return one.result
}

func (s spec) try(ctx context.Context) (r result, err error) {
	text, err := json.Marshal(s)
	if err != nil {
		return r, err
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), specVar+"="+string(text))
	// Without Pdeathsig: it would come with the end of the thread that started the child, and threads end here.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err = cmd.Run()
	if e := json.Unmarshal(out.Bytes(), &r); e != nil {
		return r, fmt.Errorf("%w: %w: %s%s", cmp.Or(err, e), e, out.String(), talk.String())
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s %s", r.Error, talk.String())
	}
	return r, nil
}

// make makes the trial, in its own namespaces.
func (s spec) make() (r result, err error) {
	w, err := build(s.Dir, s.Six, s.TLS)
	if err != nil {
		return r, err
	}
	if err := w.settle(); err != nil {
		return r, err
	}
	n := w.network()
	d := w.doctor(n)
	if err := d.well(); err != nil {
		return r, err
	}
	for _, name := range s.Faults {
		if err := faultNamed(name).breaks(w); err != nil {
			return r, fmt.Errorf("break %s: %w", name, err)
		}
	}
	if r.Broken, err = d.ask(connectError); err != nil || len(s.Faults) > 1 {
		return r, err
	}
	for _, name := range s.Faults {
		mend := faultNamed(name).mends
		if mend == nil {
			return r, nil
		}
		if err := mend(w); err != nil {
			return r, fmt.Errorf("mend %s: %w", name, err)
		}
	}
	r.After, err = d.ask(event{code: "newpos:E5", sent: no, origin: report.OriginTerminal})
	return r, err
}

// network are the checks of a terminal that is configured as its maker means it.
func (w *world) network() *probe.Network { return probe.NewNetwork(w.configuration()) }

func (w *world) configuration() probe.NetworkConfig {
	return probe.NetworkConfig{
		ResolvConf: w.file("resolv.conf"), HostsFile: w.file("hosts"), Sys: os.DirFS("/sys"), Proc: os.DirFS("/proc"),
		Targets: []probe.Target{
			{Name: "host-primary", Host: hostName, Port: hostPort, TLS: w.tls, CAFile: w.file("ca.pem")},
			{Name: "broker", Host: placeName, Port: placePort, TLS: w.tls, CAFile: w.file("ca.pem")},
		},
	}
}

// A doctor is the loop of the daemon over the network's checks.
type doctor struct {
	loop   *triage.Loop
	runner *probe.Runner
}

// nothing keeps nothing.
type nothing struct{}

func (nothing) Append(string, bool, time.Time, []byte) (uint64, error) { return 1, nil }

func (w *world) doctor(n *probe.Network) *doctor {
	d := &doctor{}
	probes := n.Probes()
	probes = append(probes, probe.Probe{
		Checks: []evidence.Check{evidence.BoardClock}, Subject: "clock", Depth: report.Internal,
		Timeout: time.Second, Fresh: time.Minute,
		Run: func(context.Context) []report.Evidence {
			return []report.Evidence{evidence.New(evidence.BoardClock, "clock", evidence.OffsetS.Is(0), evidence.Source.Is("ntp"))}
		}})
	d.runner = probe.NewRunner(probes)
	grade := codes.Builtin()
	d.runner.Grade = func(e *report.Evidence) { evidence.Grade(e, grade) }
	id := 0
	d.loop = triage.New(triage.Config{
		Knowledge: codes.Builtin, Lang: "en", Version: "trial", Runner: d.runner, Store: nothing{}, Log: slog.New(slog.DiscardHandler),
		Stamp: func(e *report.Event) { id++; e.ID, e.Time = fmt.Sprintf("%06x-%010x", 1, id), time.Now().UTC() },
	})
	go func() { _ = n.Run(context.Background()) }()
	go func() { _ = d.loop.Run(context.Background()) }()
	return d
}

// An event is what the payment application says.
type event struct {
	code, scheme string
	origin       report.Origin
	sent, answer *bool
}

var (
	yes, no      = pointer(true), pointer(false)
	connectError = event{code: "ConnectError", origin: report.OriginTerminal, sent: no}
)

func pointer(b bool) *bool { return &b }

func (e event) event() report.Event {
	r := report.Event{Code: e.code, Scheme: e.scheme, Origin: e.origin, Channel: report.ChannelHook,
		Txn: &report.Txn{Sent: e.sent, HostAnswerSeen: e.answer}}
	if e.origin == report.OriginTerminal && r.Scheme == "" {
		r.Scheme = "terminal-local"
	}
	return r
}

// well is a terminal that has sold well until now and looked at itself while nothing was wrong.
func (d *doctor) well() error {
	for range 3 {
		d.loop.Approved(triage.Approval{Channel: report.ChannelHook})
	}
	d.runner.Run(context.Background(), d.runner.Probes(), nil)
	for _, e := range d.runner.Known(time.Now()) {
		if e.Status == report.Bad || e.Check == string(evidence.NetTCP) && e.Status != report.OK {
			return fmt.Errorf("the world is not well: %s %s %s %v", e.Check, e.Subject, e.Status, e.Facts)
		}
	}
	return nil
}

// ask hands in a code and waits for the final diagnosis.
func (d *doctor) ask(e event) (report.Diagnosis, error) {
	t, err := d.loop.Submit(triage.Code{Event: e.event()})
	if err != nil {
		return report.Diagnosis{}, err
	}
	v, ok := <-t.Final
	if !ok {
		return v, fmt.Errorf("no diagnosis of %s", e.code)
	}
	return v, nil
}

// with explains what was found once more, for another code.
func with(d report.Diagnosis, e event) report.Diagnosis {
	return diagnose.Explain(e.event(), d.Evidence, codes.Builtin(), diagnose.Options{Lang: "en", Final: true})
}
