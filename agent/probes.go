package main

import (
	"context"
	"os"

	"posdx/agent/internal/probe"
	"posdx/drivers/reader"
)

// senses are the checks of this terminal and what they need besides.
type senses struct {
	probes  []probe.Probe
	metered func() bool
	run     func(context.Context) error // watches the links; nil if nothing needs watching
}

// sense lists every check of the product: the architecture on one screen.
func sense(c config, reads *reader.Reads) senses {
	var s senses
	for _, r := range c.Reader {
		s.probes = append(s.probes, probe.Reader(probe.ReaderConfig{Name: r.Name, Port: r.Port, Baud: r.Baud, Protocol: r.Protocol, Dedicated: r.Dedicated, Reads: reads})...)
	}
	if len(c.Reader) == 0 {
		s.probes = append(s.probes, probe.Reader(probe.ReaderConfig{Reads: reads})...)
	}
	for _, m := range c.Modem {
		s.probes = append(s.probes, probe.Modem(probe.ModemConfig{Name: m.Name, Port: m.Port, Baud: m.Baud, APN: m.APN, Dedicated: m.Dedicated, DialUp: m.DialUp})...)
	}
	if len(c.Modem) == 0 {
		s.probes = append(s.probes, probe.Modem(probe.ModemConfig{})...)
	}
	s.probes = append(s.probes,
		probe.Process(os.DirFS("/proc"), c.App.Process),
		probe.Absent("pinpad0", "pinpad.port"),
		probe.Absent("printer0", "printer.status"),
	)
	return s
}
