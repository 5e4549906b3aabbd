package probe

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/drivers/printer"
	"posdx/drivers/serial"
)

const (
	printerLimit = 3 * time.Second
	printerBaud  = 9600 // as Epson's and most others are delivered
)

// A PrinterConfig is the receipt printer of a terminal.
type PrinterConfig struct {
	Name      string // subject of its evidence: printer0
	Port      string // a serial port as ReaderConfig's, or /dev/usb/lp0
	Baud      int    // 0 for 9600
	Protocol  string // "" or escpos; port for a printer of which only the port's status is read
	Dedicated bool   // as ReaderConfig's
}

// Printer returns the probes of a receipt printer. It is asked on demand only, and between sales if it is dedicated.
func Printer(c PrinterConfig) ([]Probe, error) {
	if c.Name == "" {
		c.Name = "printer0"
	}
	if c.Port == "" {
		return []Probe{Absent(c.Name, evidence.PrinterStatus)}, nil
	}
	lp := strings.HasPrefix(filepath.Base(c.Port), "lp")
	switch {
	case c.Protocol == "", c.Protocol == "escpos", c.Protocol == "port" && lp:
	default:
		return nil, say.New("no-printer-protocol", c.Name, c.Port, c.Protocol)
	}
	ask := askSerialPrinter
	if lp {
		ask = askPortPrinter
	}
	return []Probe{{
		Checks: []evidence.Check{evidence.PrinterStatus}, Subject: c.Name, Device: c.Port, Depth: report.Internal,
		Timeout: printerLimit, Fresh: deviceFresh, Idle: c.Dedicated,
		Run: func(ctx context.Context) []report.Evidence {
			p, err := ask(ctx, c)
			return []report.Evidence{printerEvidence(c.Name, p, err)}
		},
	}}, nil
}

func askSerialPrinter(ctx context.Context, c PrinterConfig) (printer.Report, error) {
	return askOurs(ctx, serial.Config{Path: c.Port, Baud: c.Baud}, printerBaud, c.Dedicated, printer.Ask)
}

// askPortPrinter reads the port's own status first: it costs nothing, and bad news in it need no second witness.
func askPortPrinter(ctx context.Context, c PrinterConfig) (printer.Report, error) {
	port, err := printer.OpenPort(c.Port, !c.Dedicated)
	if err != nil {
		return printer.Report{}, err
	}
	defer port.Close()
	status, err := port.Status()
	if err == nil {
		if p, bad := printer.PortStatus(status); bad || c.Protocol == "port" {
			return p, nil
		}
	} else if c.Protocol == "port" {
		return printer.Report{}, err
	}
	return printer.Ask(ctx, port)
}

func printerEvidence(subject string, p printer.Report, err error) report.Evidence {
	what, reason := deviceOutcome(err)
	if reason != "" {
		return doubtful(evidence.PrinterStatus, subject, report.CannotTell, reason)
	}
	if what == "" {
		what = p.Outcome()
	}
	if what == "ok" && (p.Disordered || p.Offline || p.PortOnly) {
		// Whose answers they are cannot be told; or it is off line and does not say why: a key was pressed, or it knows no
		// other status; or its port said nothing bad, which many say whatever happens.
		e := doubtful(evidence.PrinterStatus, subject, report.CannotTell, report.ReasonUnsupported)
		if p.Offline && !p.Disordered {
			e.Facts["offline"] = true
		}
		return e
	}
	return evidence.New(evidence.PrinterStatus, subject, evidence.Outcome.Is(what))
}
