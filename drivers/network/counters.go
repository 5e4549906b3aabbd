package network

import (
	"io/fs"
	"strconv"
	"strings"
)

// TCPCounters are the whole machine's since boot (/proc/net/snmp).
type TCPCounters struct {
	OutSegs, RetransSegs uint64
}

// ReadTCPCounters reads them; proc is the root of procfs. False if they cannot be read.
func ReadTCPCounters(proc fs.FS) (TCPCounters, bool) {
	return parseSNMP(string(readFile(proc, "net/snmp")))
}

// parseSNMP reads the two Tcp: lines, names and values.
func parseSNMP(text string) (TCPCounters, bool) {
	var names []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "Tcp:")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if names == nil {
			names = f
			continue
		}
		var c TCPCounters
		found := 0
		for i, name := range names[:min(len(names), len(f))] {
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				continue // MaxConn is -1
			}
			switch name {
			case "OutSegs":
				c.OutSegs = n
			case "RetransSegs":
				c.RetransSegs = n
			default:
				continue
			}
			found++
		}
		return c, found == 2
	}
	return TCPCounters{}, false
}

// RetransPct is the share of segments between two readings that had to be sent again. False below 50 segments, where
// one lost packet would look like a fault.
func (c TCPCounters) RetransPct(before TCPCounters) (float64, bool) {
	if c.OutSegs < before.OutSegs+50 || c.RetransSegs < before.RetransSegs {
		return 0, false
	}
	return 100 * float64(c.RetransSegs-before.RetransSegs) / float64(c.OutSegs-before.OutSegs), true
}
