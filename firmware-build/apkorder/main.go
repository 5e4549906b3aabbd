// The command apkorder makes an apk reproducible: nfpm writes the scripts of its first part in another order each time.
// An apk is two tars, each packed by gzip, the first without an end mark (wiki.alpinelinux.org/wiki/Apk_spec).
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apkorder FILE.apk")
		os.Exit(2)
	}
	if err := order(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "apkorder %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

type entry struct {
	header *tar.Header
	body   []byte
}

func order(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r := bytes.NewReader(raw) // a ByteReader, so that gzip takes no byte of the next part
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	unpacked.Multistream(false)
	var entries []entry
	for t := tar.NewReader(bufio.NewReader(unpacked)); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("first part: %w", err)
		}
		body, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("first part: %w", err)
		}
		entries = append(entries, entry{h, body})
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return err
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].header.Name != ".PKGINFO" || len(rest) == 0 {
		return fmt.Errorf("not an unsigned apk")
	}
	slices.SortFunc(entries[1:], func(a, b entry) int { return strings.Compare(a.header.Name, b.header.Name) })
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, e := range entries {
		if err := t.WriteHeader(e.header); err != nil {
			return err
		}
		if _, err := t.Write(e.body); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil { // no Close: it would write an end mark
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	out.Write(rest)
	return os.WriteFile(path, out.Bytes(), 0o644)
}
