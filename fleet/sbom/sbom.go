// Package sbom reads what programs are made of and which weaknesses that has: CycloneDX documents in JSON, one for each
// version of a terminal's software (cyclonedx.org, specification 1.4 and later).
package sbom

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds one document.
const maxFile = 64 << 20

// A Part is a component inside of a program.
type Part struct {
	Name    string
	Version string
	PURL    string // package URL, empty if not said
}

// A Weakness is a vulnerability that a document names, with the result of its analysis.
type Weakness struct {
	ID    string   // CVE-2026-1234, or another database's
	State string   // of its analysis: exploitable in_triage not_affected resolved …; empty: not analysed
	Parts []string // names and versions of what it is in
}

// Affects reports whether the program may be affected: it is, unless the analysis tells otherwise.
func (w Weakness) Affects() bool {
	switch w.State {
	case "not_affected", "resolved", "resolved_with_pedigree", "false_positive":
		return false
	}
	return true
}

// A Bill is the bill of materials of one version of a program.
type Bill struct {
	File       string
	Name       string
	Version    string
	Parts      []Part
	Weaknesses []Weakness
}

// A Hit is a program that was found, and why.
type Hit struct {
	Bill     *Bill
	Weakness *Weakness // nil: one of its parts was asked for
	Part     *Part
}

type document struct {
	BOMFormat string `json:"bomFormat"`
	Metadata  struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components      []component `json:"components"`
	Vulnerabilities []struct {
		ID       string `json:"id"`
		Analysis struct {
			State string `json:"state"`
		} `json:"analysis"`
		Affects []struct {
			Ref string `json:"ref"`
		} `json:"affects"`
	} `json:"vulnerabilities"`
}

type component struct {
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

// Read decodes a document.
func Read(file string, b []byte) (*Bill, error) {
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("read bill of materials %s: %w", file, err)
	}
	if d.BOMFormat != "CycloneDX" {
		return nil, fmt.Errorf("read bill of materials %s: bomFormat %q: want CycloneDX", file, d.BOMFormat)
	}
	if d.Metadata.Component.Version == "" {
		return nil, fmt.Errorf("read bill of materials %s: no metadata.component.version: which version is it of?", file)
	}
	bill := &Bill{File: file, Name: d.Metadata.Component.Name, Version: d.Metadata.Component.Version}
	refs := map[string]string{}
	for _, c := range d.Components {
		bill.Parts = append(bill.Parts, Part{c.Name, c.Version, c.PURL})
		refs[c.Ref] = strings.TrimSpace(c.Name + " " + c.Version)
	}
	for _, v := range d.Vulnerabilities {
		w := Weakness{ID: v.ID, State: v.Analysis.State}
		for _, a := range v.Affects {
			if name := refs[a.Ref]; name != "" {
				w.Parts = append(w.Parts, name)
			}
		}
		bill.Weaknesses = append(bill.Weaknesses, w)
	}
	return bill, nil
}

// ReadDir reads every *.json file of a folder; none for an empty name.
func ReadDir(dir string) ([]*Bill, error) {
	if dir == "" {
		return nil, nil
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read bills of materials: %w", err)
	}
	var list []*Bill
	for _, f := range files {
		if f.IsDir() || !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		path := filepath.Join(dir, f.Name())
		if info, err := f.Info(); err != nil || info.Size() > maxFile {
			return nil, fmt.Errorf("read bill of materials %s: larger than %d MB", path, maxFile>>20)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read bill of materials: %w", err)
		}
		bill, err := Read(path, b)
		if err != nil {
			return nil, err
		}
		list = append(list, bill)
	}
	return list, nil
}

// Find looks for a weakness by its id, or for a component by its name, "name@version" or package URL.
func Find(list []*Bill, what string) []Hit {
	what = strings.TrimSpace(what)
	if what == "" {
		return nil
	}
	var hits []Hit
	for _, b := range list {
		if i := slices.IndexFunc(b.Weaknesses, func(w Weakness) bool { return strings.EqualFold(w.ID, what) }); i >= 0 {
			hits = append(hits, Hit{Bill: b, Weakness: &b.Weaknesses[i]})
			continue
		}
		name, version, _ := strings.Cut(what, "@")
		if i := slices.IndexFunc(b.Parts, func(p Part) bool {
			return strings.EqualFold(p.PURL, what) || strings.EqualFold(p.Name, name) && (version == "" || p.Version == version)
		}); i >= 0 {
			hits = append(hits, Hit{Bill: b, Part: &b.Parts[i]})
		}
	}
	return hits
}
