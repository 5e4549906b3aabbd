// Package pinpad asks PIN pads of Brazil's ABECS standard (protocol 2.12 and 2.20, chapter 3.2, control) what they are
// and which of their places hold a key. It sends GIX and GIN and nothing else, which read what the pad is. OPN would
// end a secure session of the payment application, CLX would clear the display, and CAN aborts whatever runs: they are
// not in this package.
package pinpad

import (
	"encoding/binary"
	"strconv"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// A KeyKind is a kind of key in a PIN pad (ABECS 3.1.3.2, PP_MKTDESP and the following).
type KeyKind byte

// Kinds of keys.
const (
	KeyMasterPIN  KeyKind = iota // master key for PINs
	KeyMasterData                // master key for data
	KeyDUKPTPIN                  // DUKPT key for PINs
	KeyDUKPTData                 // DUKPT key for data
	KeyKinds                     // how many kinds there are
)

func (k KeyKind) String() string {
	return [...]string{"mk-pin", "mk-data", "dukpt-pin", "dukpt-data"}[min(k, KeyDUKPTData)]
}

// A KeyMap tells for each of a hundred places whether it holds a key: '0' no, '1' yes, '2' there is no such place. It
// is empty if the pad gave none. No key ever crosses the line.
type KeyMap string

// Loaded counts the places that hold a key.
func (m KeyMap) Loaded() (n int) {
	for i := range len(m) {
		if m[i] == '1' {
			n++
		}
	}
	return n
}

// Has tells whether a place, from 0, holds a key; known is false if the pad did not say.
func (m KeyMap) Has(place int) (yes, known bool) {
	if place < 0 || place >= len(m) {
		return false, false
	}
	return m[place] == '1', true
}

// A Report is what a PIN pad told of itself. Its serial number is not asked for.
type Report struct {
	Model, Maker, Firmware, Spec string
	Keys                         [KeyKinds]KeyMap
	// Status is RSP_STAT of an answer that was no yes: 009 while the application holds a secure session, 010 for a command
	// that is not known, 040 for an internal error; "" else.
	Status string
	Health frame.Health
}

// Numbers of what GIX returns (3.2.4).
const (
	ppModel    = 0x8003
	ppMaker    = 0x8004
	ppFirmware = 0x8006
	ppSpec     = 0x8007
	ppMKPIN    = 0x8032
	ppMKData   = 0x8033
	ppDUKPTPIN = 0x8035
	ppDUKPTDat = 0x8036
)

// gix asks for them: SPE_IDLIST, 0001.
func gix() []byte {
	ids := []uint16{ppModel, ppMaker, ppFirmware, ppSpec, ppMKPIN, ppMKData, ppDUKPTPIN, ppDUKPTDat}
	b := append([]byte("GIX0"), strconv.Itoa(4+2*len(ids))...)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(ids)))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return b
}

// answer splits an answer into its name, status and blocks. Only answers to GIX and GIN have their blocks read: those
// of all other commands may hold card data.
func abecsAnswer(b []byte) (name, status string, blocks [][]byte) {
	if len(b) < 6 || b[0] == frame.ABECSEncrypted || !frame.AllDigits(b[3:6]) {
		return "", "", nil
	}
	name, status = serial.Label(b[:3]), string(b[3:6])
	if name != "GIX" && name != "GIN" {
		return name, status, nil
	}
	for b = b[6:]; len(b) > 0; {
		if len(b) < 3 || !frame.AllDigits(b[:3]) {
			return "", "", nil
		}
		size := int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
		if b = b[3:]; size > len(b) {
			return "", "", nil
		}
		blocks, b = append(blocks, b[:size]), b[size:]
	}
	return name, status, blocks
}

// extended reads the blocks of GIX: a number, a length and a value each.
func (p *Report) extended(b []byte) {
	for len(b) >= 4 {
		id, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; size > len(b) {
			return
		}
		v := b[:size]
		b = b[size:]
		switch id {
		case ppModel:
			p.Model = serial.Label(v)
		case ppMaker:
			p.Maker = serial.Label(v)
		case ppFirmware:
			p.Firmware = serial.Label(v)
		case ppSpec:
			p.Spec = serial.Label(v)
		case ppMKPIN:
			p.Keys[KeyMasterPIN] = keyMap(v)
		case ppMKData:
			p.Keys[KeyMasterData] = keyMap(v)
		case ppDUKPTPIN:
			p.Keys[KeyDUKPTPIN] = keyMap(v)
		case ppDUKPTDat:
			p.Keys[KeyDUKPTData] = keyMap(v)
		}
	}
}

// keyMap takes a map only if it is one.
func keyMap(b []byte) KeyMap {
	if len(b) != 100 {
		return ""
	}
	for _, c := range b {
		if c < '0' || c > '2' {
			return ""
		}
	}
	return KeyMap(b)
}

// basic reads the block of GIN00200, which older pads know (3.2.3): maker 20, model 19, contactless 1, system 20,
// specification 4, manager 16, serial number 20.
func (p *Report) basic(b []byte) {
	if len(b) < 64 {
		return
	}
	p.Maker, p.Model, p.Firmware, p.Spec = serial.Label(b[:20]), serial.Label(b[20:39]), serial.Label(b[40:60]),
		serial.Label(b[60:64])
}
