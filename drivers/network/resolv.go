package network

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Resolvers reads the name servers of a resolv.conf: at most three, as the C library does. The error is that of
// reading; a file that names none is no error.
func Resolvers(path string) ([]netip.AddrPort, error) {
	b, err := readPath(path)
	if err != nil {
		return nil, fmt.Errorf("read resolvers: %w", err)
	}
	return parseResolvers(string(b)), nil
}

func parseResolvers(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(f[1]); err == nil && len(list) < maxResolvers {
			list = append(list, netip.AddrPortFrom(ip, 53))
		}
	}
	return list
}

// maxSearch bounds the domains that are tried, as the C library's six.
const maxSearch = 6

// SearchNames returns the names under which a resolv.conf has a host looked up, in order (resolv.conf(5): search,
// domain, ndots). A name that ends in a dot is final.
func SearchNames(path, host string) []string {
	b, err := readPath(path)
	if err != nil {
		return []string{host}
	}
	return searchNames(string(b), host)
}

func searchNames(text, host string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var domains []string
	ndots := 1
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case f[0] == "search", f[0] == "domain": // the last one counts
			domains = f[1:min(len(f), maxSearch+1)]
		case f[0] == "options":
			for _, o := range f[1:] {
				if v, ok := strings.CutPrefix(o, "ndots:"); ok {
					if n, err := strconv.Atoi(v); err == nil && n >= 0 && n <= 15 {
						ndots = n
					}
				}
			}
		}
	}
	list := make([]string, 0, len(domains)+1)
	for _, d := range domains {
		if d = strings.Trim(d, "."); d != "" {
			list = append(list, host+"."+d)
		}
	}
	if strings.Count(host, ".") >= ndots {
		return append([]string{host}, list...)
	}
	return append(list, host)
}

// HostsFile finds a name in a hosts file; nothing if the file or the name is not there.
func HostsFile(path, name string) []netip.Addr {
	b, err := readPath(path)
	if err != nil {
		return nil
	}
	return parseHosts(string(b), name)
}

func parseHosts(text, name string) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, n := range f[1:] {
			if strings.EqualFold(strings.TrimSuffix(n, "."), strings.TrimSuffix(name, ".")) && len(list) < maxAddresses {
				list = append(list, ip)
				break
			}
		}
	}
	return list
}

// readPath reads at most maxFile bytes of a regular file. Anything else (a pipe would block) is an error.
func readPath(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: %w", path, errors.ErrUnsupported)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}
