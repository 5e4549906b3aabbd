package serial

import (
	"encoding/binary"
	"errors"
	"time"
)

// A Copy is a piece of what passed on a line between two other programs or devices, as a relay hands it to the process
// that decodes it: one datagram. It may hold card data, so it goes from process to process on one machine and nowhere
// else.
type Copy struct {
	From   Side
	Device bool      // the device's port is there
	App    bool      // the application has its port open
	Time   time.Time // when the first byte of Data passed, by the relay's clock
	Lost   uint32    // bytes of this side that passed before Data and were not copied
	Errors Counters  // of the device's UART since the relay opened it, as far as it counts
	Data   []byte    // empty: only the state is told
}

// A Side of a relayed line.
type Side byte

// The sides.
const (
	FromDevice Side = iota
	FromApp
)

// Bounds of a copy's datagram.
const (
	CopyHeader = 40
	CopyMax    = CopyHeader + 1024
)

// copyMagic begins every datagram; its last byte is the version.
const copyMagic = "pxr\x01"

// ErrNotCopy is the error of a datagram that no relay of this version has written.
var ErrNotCopy = errors.New("not a relay's datagram")

// Append writes the datagram: magic, side, flags, two zeros, time in ns, lost, rx, frame, parity, overrun, break of 32
// bits each that wrap, all big endian, then the bytes.
func (c Copy) Append(b []byte) []byte {
	b = append(b, copyMagic...)
	b = append(b, byte(c.From), c.flags(), 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixNano()))
	for _, n := range [...]uint64{uint64(c.Lost), c.Errors.RX, c.Errors.Frame, c.Errors.Parity, c.Errors.Overrun,
		c.Errors.Break} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, c.Data...)
}

func (c Copy) flags() (f byte) {
	if c.Device {
		f |= 1
	}
	if c.App {
		f |= 2
	}
	return f
}

// ParseCopy reads a datagram. The Data of the result is a part of b, not a copy.
func ParseCopy(b []byte) (Copy, error) {
	if len(b) < CopyHeader || len(b) > CopyMax || string(b[:4]) != copyMagic || b[4] > byte(FromApp) || b[5] > 3 {
		return Copy{}, ErrNotCopy
	}
	n := func(i int) uint32 { return binary.BigEndian.Uint32(b[16+4*i:]) }
	return Copy{
		From: Side(b[4]), Device: b[5]&1 != 0, App: b[5]&2 != 0,
		Time: time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))), Lost: n(0),
		Errors: Counters{RX: uint64(n(1)), Frame: uint64(n(2)), Parity: uint64(n(3)), Overrun: uint64(n(4)),
			Break: uint64(n(5))},
		Data: b[CopyHeader:],
	}, nil
}
