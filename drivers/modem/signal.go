package modem

import (
	"sort"
	"strconv"
	"strings"
)

// A Signal is one sample of the radio. A value that is not known is NoValue.
type Signal struct {
	RSSI int     // dBm, all technologies
	RSRP int     // dBm, LTE and 5G
	RSRQ float64 // dB
	SINR float64 // dB
	BER  float64 // per cent, upper edge of the class reported
}

// NoValue marks a value that the modem did not report. No radio reports it: 27.007's own ranges end at -200.
const NoValue = -9999

// NoSignal is a signal of which nothing is known.
func NoSignal() Signal { return Signal{NoValue, NoValue, NoValue, NoValue, NoValue} }

// Known reports whether the sample holds a level at all.
func (s Signal) Known() bool { return s.RSSI != NoValue || s.RSRP != NoValue || s.SINR != NoValue }

// merge fills what s does not know from o.
func (s Signal) merge(o Signal) Signal {
	if s.RSSI == NoValue {
		s.RSSI = o.RSSI
	}
	if s.RSRP == NoValue {
		s.RSRP = o.RSRP
	}
	if s.RSRQ == NoValue {
		s.RSRQ = o.RSRQ
	}
	if s.SINR == NoValue {
		s.SINR = o.SINR
	}
	if s.BER == NoValue {
		s.BER = o.BER
	}
	return s
}

// berClass are the upper edges of the eight classes of bit error rate (27.007 8.5, 45.008 8.2.4).
var berClass = [...]float64{0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 100}

// parseCSQ reads +CSQ: n,ber (27.007 8.5).
func parseCSQ(line string) Signal {
	s := NoSignal()
	f := fields(after(line))
	if len(f) < 1 {
		return s
	}
	if n, err := strconv.Atoi(f[0].text); err == nil && n >= 0 && n <= 31 {
		s.RSSI = -113 + 2*n
	}
	if len(f) > 1 {
		if n, err := strconv.Atoi(f[1].text); err == nil && n >= 0 && n < len(berClass) {
			s.BER = berClass[n]
		}
	}
	return s
}

// parseCESQ reads +CESQ: rxlev,ber,rscp,ecno,rsrq,rsrp (27.007 8.69) at the lower edge of each step, as ModemManager
// does.
func parseCESQ(line string) Signal {
	s := NoSignal()
	f := fields(after(line))
	if len(f) < 6 {
		return s
	}
	n := make([]int, 6)
	for i := range n {
		v, err := strconv.Atoi(f[i].text)
		if err != nil {
			return s
		}
		n[i] = v
	}
	if n[0] >= 0 && n[0] <= 63 {
		s.RSSI = -111 + n[0]
	}
	if n[1] >= 0 && n[1] < len(berClass) {
		s.BER = berClass[n[1]]
	}
	if n[2] >= 0 && n[2] <= 96 {
		s.RSSI = -121 + n[2] // received code power is what 3G has for a level
	}
	if v, ok := step(f, 6, 126, -43.5, 0.5); ok { // 5G's three come last (release 15) and give way to LTE's
		s.RSRQ = v
	}
	if v, ok := step(f, 7, 126, -157, 1); ok {
		s.RSRP = int(v)
	}
	if v, ok := step(f, 8, 127, -23.5, 0.5); ok && n[5] > 97 {
		s.SINR = v
	}
	if n[4] >= 0 && n[4] <= 34 {
		s.RSRQ = -20 + float64(n[4])/2
	}
	if n[5] >= 0 && n[5] <= 97 {
		s.RSRP = -141 + n[5]
	}
	return s
}

// parseHCSQ reads Huawei's ^HCSQ: "LTE",rssi,rsrp,sinr,rsrq; "WCDMA",rssi,rscp,ecio; "GSM",rssi.
func parseHCSQ(line string) (Signal, string) {
	s := NoSignal()
	f := fields(after(line))
	v := func(i, limit int) (int, bool) {
		if i >= len(f) {
			return 0, false
		}
		n, err := strconv.Atoi(f[i].text)
		return n, err == nil && n >= 0 && n <= limit
	}
	if len(f) == 0 {
		return s, ""
	}
	if n, ok := v(1, 96); ok {
		s.RSSI = -121 + n
	}
	switch f[0].text {
	case "LTE":
		if n, ok := v(2, 97); ok {
			s.RSRP = -141 + n
		}
		if n, ok := v(3, 251); ok {
			s.SINR = float64(n-101) / 5
		}
		if n, ok := v(4, 34); ok {
			s.RSRQ = -20 + float64(n)/2
		}
		return s, "4g"
	case "WCDMA":
		return s, "3g"
	case "GSM":
		return s, "2g"
	}
	return NoSignal(), ""
}

// parseQCSQ reads Quectel's +QCSQ: "LTE",rssi,rsrp,sinr,rsrq; "WCDMA",rssi,rscp,ecio; "GSM",rssi. Its SINR is left out:
// the scale differs from chip to chip.
func parseQCSQ(line string) (Signal, string) {
	s := NoSignal()
	f := fields(after(line))
	if len(f) < 2 {
		return s, ""
	}
	v := func(i int) (int, bool) {
		if i >= len(f) {
			return 0, false
		}
		n, err := strconv.Atoi(f[i].text)
		return n, err == nil && n > -200 && n < 0
	}
	if n, ok := v(1); ok {
		s.RSSI = n
	}
	switch name := f[0].text; {
	case name == "LTE" || strings.HasPrefix(name, "CAT") || name == "eMTC" || name == "NBIoT":
		if n, ok := v(2); ok {
			s.RSRP = n
		}
		if n, ok := v(4); ok && n >= -40 {
			s.RSRQ = float64(n)
		}
		return s, "4g"
	case name == "WCDMA":
		return s, "3g"
	case name == "GSM":
		return s, "2g"
	}
	return NoSignal(), ""
}

// parseCPSI reads SIMCom's +CPSI: LTE,Online,mcc-mnc,tac,cell,pcell,band,earfcn,dlbw,ulbw,rsrq,rsrp,rssi,rssnr, whose
// levels are in tenths. Small chips tell steps, which are not below zero, and are left to 27.007.
func parseCPSI(line string) (Signal, string) {
	s := NoSignal()
	f := fields(after(line))
	if len(f) < 1 {
		return s, ""
	}
	switch f[0].text {
	case "GSM":
		return s, "2g"
	case "WCDMA":
		return s, "3g"
	case "LTE", "NR5G_SA":
	default:
		return s, ""
	}
	tenths := func(i, floor int) (float64, bool) { // some firmware reports whole dB: no level is that low
		n, err := strconv.Atoi(f[i].text)
		if err != nil || n >= 0 {
			return 0, false
		}
		if n < floor {
			return float64(n) / 10, n/10 >= floor
		}
		return float64(n), true
	}
	if f[0].text == "NR5G_SA" { // …,pci,band,channel,rsrp,rsrq,snr
		if len(f) < 11 {
			return s, "5g"
		}
		if v, ok := tenths(8, -157); ok {
			s.RSRP = int(v)
		}
		if v, ok := tenths(9, -44); ok {
			s.RSRQ = v
		}
		if v, ok := dB(f, 10, -230, 400); ok {
			s.SINR = v / 10
		}
		return s, "5g"
	}
	if len(f) < 14 {
		return s, "4g"
	}
	if v, ok := tenths(10, -43); ok {
		s.RSRQ = v
	}
	if v, ok := tenths(11, -157); ok {
		s.RSRP = int(v)
	}
	if v, ok := tenths(12, -125); ok {
		s.RSSI = int(v)
	}
	if n, err := strconv.Atoi(f[13].text); err == nil && n >= -25 && n <= 40 {
		s.SINR = float64(n)
	}
	return s, "4g"
}

// Median is the median of each value over the samples that have it: a single sample may be disturbed by a passing
// lorry.
func Median(samples []Signal) Signal {
	mid := func(get func(Signal) float64) float64 {
		var v []float64
		for _, s := range samples {
			if x := get(s); x != NoValue {
				v = append(v, x)
			}
		}
		if len(v) == 0 {
			return NoValue
		}
		sort.Slice(v, func(i, j int) bool { return v[i] < v[j] }) // less code than slices.Sort, which is compiled per type
		return v[len(v)/2]
	}
	return Signal{
		RSSI: int(mid(func(s Signal) float64 { return float64(s.RSSI) })),
		RSRP: int(mid(func(s Signal) float64 { return float64(s.RSRP) })),
		RSRQ: mid(func(s Signal) float64 { return s.RSRQ }),
		SINR: mid(func(s Signal) float64 { return s.SINR }),
		BER:  mid(func(s Signal) float64 { return s.BER }),
	}
}
