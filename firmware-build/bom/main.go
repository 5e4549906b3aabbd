// The command bom says what a built program is made of: a bill of materials as CycloneDX and as SPDX, and the licences
// of everything in it. It reads the program itself (what Go wrote into it) and the modules' own licence files.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A part is one module that is linked into the program, the standard library included.
type part struct {
	path, version string
	sum           string // of the module, as go.sum has it: h1:…
	licence       string // an SPDX expression, or NOASSERTION
	text          []byte // of the licence
}

func main() {
	program := flag.String("program", "", "the built `PROGRAM`")
	name := flag.String("name", "posdx", "its name")
	release := flag.String("version", "dev", "its version")
	own := flag.String("own", "LICENSE", "its own licence, a `FILE`")
	licences := flag.String("licences", "", "write all licences to this `FILE`")
	cyclone := flag.String("cyclonedx", "", "write CycloneDX 1.5 to this `FILE`")
	spdx := flag.String("spdx", "", "write SPDX 2.3 to this `FILE`")
	flag.Parse()
	if err := run(*program, *name, *release, *own, *licences, *cyclone, *spdx); err != nil {
		fmt.Fprintln(os.Stderr, "bom:", err)
		os.Exit(1)
	}
}

func run(program, name, release, own, licences, cyclone, spdx string) error {
	raw, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	parts, err := partsOf(info)
	if err != nil {
		return err
	}
	made, err := madeAt()
	if err != nil {
		return err
	}
	digest := sha256.Sum256(raw)
	b := bill{name: name, version: release, sha256: hex.EncodeToString(digest[:]), made: made, settings: info.Settings,
		parts: parts}
	if licences != "" {
		text, err := os.ReadFile(own)
		if err != nil {
			return err
		}
		if err := os.WriteFile(licences, allLicences(name, text, parts), 0o644); err != nil {
			return err
		}
	}
	for path, doc := range map[string]any{cyclone: b.cyclonedx(), spdx: b.spdx()} {
		if path == "" {
			continue
		}
		out, err := json.MarshalIndent(doc, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(out, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// madeAt is when the source was committed, as SOURCE_DATE_EPOCH says: two builds of it say the same.
func madeAt() (time.Time, error) {
	s := cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "0")
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a number of seconds", s)
	}
	return time.Unix(n, 0).UTC(), nil
}

func partsOf(info *debug.BuildInfo) ([]part, error) {
	env := func(name string) (string, error) {
		out, err := exec.Command("go", "env", name).Output()
		return strings.TrimSpace(string(out)), err
	}
	goroot, err := env("GOROOT")
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	cache, err := env("GOMODCACHE")
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	std := part{path: "std", version: info.GoVersion}
	if std.licence, std.text, err = licenceIn(goroot, filepath.Join(goroot, "..")); err != nil {
		return nil, err
	}
	parts := []part{std}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		p := part{path: d.Path, version: d.Version, sum: d.Sum}
		if p.licence, p.text, err = licenceIn(filepath.Join(cache, escaped(d.Path)+"@"+escaped(d.Version))); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// escaped writes a path as the module cache does, where a capital letter is an exclamation mark and a small one.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// licenceIn finds the licence in the first of the folders that has one. A module without one must not be shipped.
func licenceIn(dirs ...string) (id string, text []byte, err error) {
	for _, dir := range dirs {
		for _, pattern := range []string{"LICENSE*", "LICENCE*", "License*", "license*", "COPYING*"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return "", nil, err
			}
			slices.Sort(found)
			for _, f := range found {
				if text, err := os.ReadFile(f); err == nil {
					return known(text), text, nil
				}
			}
		}
	}
	return "", nil, fmt.Errorf("no licence in %s", strings.Join(dirs, ", "))
}

// known names a licence by sentences that only it has.
func known(text []byte) string {
	flat := strings.Join(strings.Fields(string(text)), " ")
	has := func(s string) bool { return strings.Contains(flat, s) }
	switch {
	case has("Eclipse Public License - v 2.0") && has("Eclipse Distribution License"):
		return "EPL-2.0 OR BSD-3-Clause"
	case has("Eclipse Public License - v 2.0"):
		return "EPL-2.0"
	case has("Apache License") && has("Version 2.0"):
		return "Apache-2.0"
	case has("Mozilla Public License Version 2.0"):
		return "MPL-2.0"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Redistribution and use in source and binary forms") && has("endorse or promote products"):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	case has("Permission to use, copy, modify, and/or distribute this software"):
		return "ISC"
	}
	return "NOASSERTION"
}

// allLicences is every licence once, with the parts under it.
func allLicences(name string, own []byte, parts []part) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s is under the licence that follows. It contains the parts named below, each under its own.\n\n%s", name, own)
	var done []string
	for _, p := range parts {
		if slices.Contains(done, string(p.text)) {
			continue
		}
		done = append(done, string(p.text))
		b.WriteString("\n" + strings.Repeat("=", 78) + "\n")
		for _, q := range parts {
			if bytes.Equal(q.text, p.text) {
				fmt.Fprintf(&b, "%s %s (%s)\n", q.path, q.version, q.licence)
			}
		}
		fmt.Fprintf(&b, "\n%s", p.text)
	}
	return b.Bytes()
}

// A bill is what both formats are written from.
type bill struct {
	name, version, sha256 string
	made                  time.Time
	settings              []debug.BuildSetting
	parts                 []part
}

type object map[string]any

func purl(p part) string {
	if p.path == "std" {
		return "pkg:golang/std@" + strings.TrimPrefix(p.version, "go")
	}
	return "pkg:golang/" + strings.ToLower(p.path) + "@" + p.version
}

// id is the document's own name: the same contents, the same name (RFC 9562, version 8).
func (b bill) id() string {
	h := sha256.Sum256([]byte(b.name + " " + b.version + " " + b.sha256))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// cyclonedx writes CycloneDX 1.5 (cyclonedx.org/docs/1.5/json).
func (b bill) cyclonedx() object {
	root := "pkg:generic/" + b.name + "@" + b.version
	var list []object
	refs := []string{}
	for _, p := range b.parts {
		o := object{"type": "library", "bom-ref": purl(p), "name": p.path, "version": p.version, "purl": purl(p)}
		if strings.Contains(p.licence, " ") {
			o["licenses"] = []object{{"expression": p.licence}}
		} else if p.licence != "NOASSERTION" {
			o["licenses"] = []object{{"license": object{"id": p.licence}}}
		}
		if p.sum != "" {
			o["properties"] = []object{{"name": "go:sum", "value": p.sum}}
		}
		list, refs = append(list, o), append(refs, purl(p))
	}
	var how []object
	for _, s := range b.settings {
		how = append(how, object{"name": "go:build:" + s.Key, "value": s.Value})
	}
	return object{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": "urn:uuid:" + b.id(), "version": 1,
		"metadata": object{
			"timestamp": b.made.Format(time.RFC3339),
			"component": object{
				"type": "application", "bom-ref": root, "name": b.name, "version": b.version, "properties": how,
				"hashes": []object{{"alg": "SHA-256", "content": b.sha256}}, "licenses": []object{{"license": object{"id": "Apache-2.0"}}},
			},
		},
		"components": list, "dependencies": []object{{"ref": root, "dependsOn": refs}},
	}
}

// spdx writes SPDX 2.3 (spdx.github.io/spdx-spec/v2.3).
func (b bill) spdx() object {
	packages := []object{{
		"SPDXID": "SPDXRef-program", "name": b.name, "versionInfo": b.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
		"licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION",
		"checksums": []object{{"algorithm": "SHA256", "checksumValue": b.sha256}},
	}}
	relations := []object{{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-program"}}
	for i, p := range b.parts {
		id := fmt.Sprintf("SPDXRef-part-%d", i+1)
		packages = append(packages, object{
			"SPDXID": id, "name": p.path, "versionInfo": p.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
			"licenseConcluded": p.licence, "licenseDeclared": p.licence, "copyrightText": "NOASSERTION",
			"externalRefs": []object{{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(p)}},
		})
		relations = append(relations, object{"spdxElementId": "SPDXRef-program", "relationshipType": "CONTAINS", "relatedSpdxElement": id})
	}
	return object{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": b.name + "-" + b.version,
		"documentNamespace": "urn:uuid:" + b.id(),
		"creationInfo":      object{"created": b.made.Format(time.RFC3339), "creators": []string{"Tool: posdx-bom"}},
		"packages":          packages, "relationships": relations,
	}
}
