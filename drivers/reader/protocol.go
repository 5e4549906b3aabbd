package reader

import (
	"context"
	"strconv"
	"strings"

	"posdx/drivers/serial"
)

// A Protocol is one way to ask a card reader, under the name that it has in the configuration.
type Protocol struct {
	Name     string
	Baud     int  // the rate of a reader as it is delivered
	Second   int  // a rate to try where nothing answers at the first; 0 for none
	StopBits int  // 1 or 2
	RTSLow   bool // hold the line RTS low
	Numbered bool // the name may end in a colon and the address of the reader, 0 to 15
	CCID     bool // its line can be overheard as CCID

	ask func(context.Context, serial.Link, byte) (Report, error)
}

// protocols are all there are, in the order in which people are told of them.
var protocols = [...]Protocol{
	{Name: "ccid", Baud: 115200, StopBits: 2, RTSLow: true, CCID: true, ask: ccid(CCIDConfig{})}, // finds out which make it is
	{Name: "neo", Baud: 115200, StopBits: 1, ask: unnumbered(AskNEO)},
	{Name: "itp", Baud: 9600, StopBits: 1, ask: unnumbered(AskITP)},
	{Name: "crt310", Baud: 9600, StopBits: 1, ask: crt(CRT310)},
	{Name: "crt591", Baud: 9600, StopBits: 1, Numbered: true, ask: crt(CRT591)},
	{Name: "gempc-twin", Baud: 115200, StopBits: 2, RTSLow: true, CCID: true, ask: ccid(CCIDConfig{Echo: EchoYes})},
	{Name: "gemcore", Baud: 115200, StopBits: 2, RTSLow: true, CCID: true, ask: ccid(CCIDConfig{Echo: EchoNo})},
	// Wakes at 9600 and is switched up by whoever uses it.
	{Name: "gemcore-simpro2", Baud: 115200, Second: 9600, StopBits: 2, RTSLow: true, CCID: true, ask: ccid(CCIDConfig{Echo: EchoNo})},
	{Name: "sec1210", Baud: 115200, StopBits: 2, RTSLow: true, CCID: true, ask: ccid(CCIDConfig{Echo: EchoNo})},
}

// Protocols returns the names of all protocols.
func Protocols() []string {
	names := make([]string, len(protocols))
	for i := range protocols {
		names[i] = protocols[i].Name
	}
	return names
}

// FindProtocol returns the protocol of a name, and the address in it. No name is ccid.
func FindProtocol(name string) (p Protocol, address byte, ok bool) {
	if name == "" {
		name = "ccid"
	}
	name, number, numbered := strings.Cut(name, ":")
	for _, p := range protocols {
		if p.Name != name || numbered && !p.Numbered {
			continue
		}
		if !numbered {
			return p, 0, true
		}
		n, err := strconv.ParseUint(number, 10, 4)
		return p, byte(n), err == nil
	}
	return Protocol{}, 0, false
}

// Ask asks the reader at the other end of a link what it is and whether it is well. Errors are those of AskCCID.
func (p Protocol) Ask(ctx context.Context, link serial.Link, address byte) (Report, error) {
	return p.ask(ctx, link, address)
}

func ccid(c CCIDConfig) func(context.Context, serial.Link, byte) (Report, error) {
	return func(ctx context.Context, l serial.Link, _ byte) (Report, error) { return AskCCID(ctx, l, c) }
}

func crt(kind CRTKind) func(context.Context, serial.Link, byte) (Report, error) {
	return func(ctx context.Context, l serial.Link, address byte) (Report, error) {
		return AskCRT(ctx, l, kind, address)
	}
}

func unnumbered(ask func(context.Context, serial.Link) (Report, error)) func(context.Context, serial.Link,
	byte) (Report, error) {
	return func(ctx context.Context, l serial.Link, _ byte) (Report, error) { return ask(ctx, l) }
}
