package posdx

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is the width of a line of Go in characters, a tab being one.
const widest = 120

var address = regexp.MustCompile(`https?://\S+`)

// TestLinesFit: no line of Go that a person writes is wider than 120 characters, unless a text or an address in it is
// to blame: without these it would fit.
func TestLinesFit(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil || generated.Match(src) {
			return err
		}
		files++
		for _, line := range wideLines(src) {
			t.Errorf("%s:%d is wider than %d columns", path, line, widest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// wideLines returns the lines that are too wide with all their texts taken out.
func wideLines(src []byte) (wide []int) {
	lines := bytes.Split(src, []byte("\n"))
	if !slices.ContainsFunc(lines, tooWide) {
		return nil
	}
	// Texts become blank, and lines within a text with them.
	bare := bytes.Clone(src)
	file := token.NewFileSet().AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	for {
		pos, kind, lit := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind == token.STRING {
			text := bare[file.Offset(pos):][:len(lit)]
			for i, c := range text {
				if c != '\n' {
					text[i] = 0
				}
			}
		}
	}
	for i, l := range bytes.Split(bare, []byte("\n")) {
		if tooWide(lines[i]) && tooWide(address.ReplaceAll(bytes.ReplaceAll(l, []byte("\x00"), nil), nil)) {
			wide = append(wide, i+1)
		}
	}
	return wide
}

func tooWide(line []byte) bool { return utf8.RuneCount(line) > widest }

// TestWideLinesAreFound: the test above would see one.
func TestWideLinesAreFound(t *testing.T) {
	long := strings.Repeat("long ", 30)
	src := "package x\n// " + long + "\n// see https://example.com/" + strings.Repeat("x", 120) + "\nvar a = `" + long + "\n" + long + "`\n" +
		"var b = \"" + strings.Repeat("语", 130) + "\"\nvar c = " + strings.Repeat("d + ", 40) + "d\n"
	if got := wideLines([]byte(src)); !slices.Equal(got, []int{2, 7}) {
		t.Errorf("lines %v, want 2 and 7", got)
	}
}
