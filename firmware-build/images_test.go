package firmware

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestUpdateHooksReportHealth runs what RAUC, SWUpdate and Mender call, with their own tools and posdx played: good is
// said only of a posdx that is well.
func TestUpdateHooksReportHealth(t *testing.T) {
	for _, h := range []struct{ script, good string }{
		{"images/rauc/posdx-mark-good", "rauc status mark-good"},
		{"images/swupdate/posdx-confirm", "fw_setenv bootcount 0\nfw_setenv upgrade_available 0"},
		{"images/mender/ArtifactCommit_Enter_50_posdx", ""},
	} {
		for _, well := range []bool{true, false} {
			dir := t.TempDir()
			play := func(name, does string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			play("posdx", `[ "$1 $2" = "selfcheck --live" ] || exit 9; [ -n "$WELL" ] || { echo "posdx selfcheck: not well in time" >&2; exit 1; }`)
			play("rauc", `echo "rauc $*" >>"$DONE"`)
			play("fw_printenv", "echo 1")
			play("fw_setenv", `echo "fw_setenv $*" >>"$DONE"`)
			play("logger", ":")
			c := exec.Command("sh", h.script)
			c.Env = []string{"PATH=" + dir + ":/bin:/usr/bin", "DONE=" + filepath.Join(dir, "done")}
			if well {
				c.Env = append(c.Env, "WELL=yes")
			}
			out, err := c.CombinedOutput()
			if (err == nil) != well {
				t.Errorf("%s, well %v: %v\n%s", h.script, well, err, out)
			}
			done, _ := os.ReadFile(filepath.Join(dir, "done"))
			want := h.good
			if !well {
				want = ""
				if !strings.Contains(string(out), "not well in time") {
					t.Errorf("%s does not say why: %s", h.script, out)
				}
			}
			if strings.TrimSpace(string(done)) != want {
				t.Errorf("%s, well %v: did %q, want %q", h.script, well, done, want)
			}
		}
	}
}

// TestImageRecipesInstallWhatSetupInstalls runs the install steps of the Buildroot package and of the Yocto recipe,
// each with its build system's variables filled in by hand: they parse, and put every file of the package where setup
// does.
func TestImageRecipesInstallWhatSetupInstalls(t *testing.T) {
	setup, err := os.ReadFile("setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`for f in (setup .*); do`).FindSubmatch(setup)
	if list == nil {
		t.Fatal("setup.sh has no list of files")
	}
	files := strings.Fields(string(list[1]))
	pkg := t.TempDir()
	for _, f := range append([]string{"posdx"}, files...) {
		if err := os.WriteFile(filepath.Join(pkg, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"etc/init.d/posdx", "etc/posdx/conf.d", "etc/posdx/posdx.toml", "etc/posdx/posdx.toml.example", "usr/bin/posdx", "var/lib/posdx"}
	for _, f := range files {
		want = append(want, "usr/lib/posdx/"+f)
	}
	check := func(name, root string) {
		t.Helper()
		for _, f := range want {
			if _, err := os.Lstat(filepath.Join(root, f)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}

	buildroot := t.TempDir()
	mk := filepath.Join(t.TempDir(), "Makefile")
	text := "qstrip = $(1)\nINSTALL = install\nTARGET_DIR = " + buildroot + "\nBR2_PACKAGE_POSDX_TAR = /x/posdx-1.2.0+3.gabc-armv7.tar.gz\nBR2_EXTERNAL_POSDX_PATH = " +
		must(filepath.Abs("images/buildroot")) + "\ngeneric-package =\ninclude $(BR2_EXTERNAL_POSDX_PATH)/external.mk\n" +
		"try: @D = " + pkg + "\ntry:\n\t$(POSDX_INSTALL_TARGET_CMDS)\n\t$(POSDX_INSTALL_INIT_SYSV)\n\t@echo version=$(POSDX_VERSION)\n"
	if err := os.WriteFile(mk, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("make", "-f", mk, "try").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "version=1.2.0+3.gabc\n") {
		t.Fatalf("buildroot: %v\n%s", err, out)
	}
	check("buildroot", buildroot)

	recipe, err := os.ReadFile("images/yocto/recipes-support/posdx/posdx-bin_1.0.bb")
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(recipe), "do_install() {\n")
	body, _, closed := strings.Cut(body, "\n}\n")
	if !ok || !closed {
		t.Fatal("the recipe has no do_install")
	}
	yocto := t.TempDir()
	fill := map[string]string{"${S}": pkg, "${D}": yocto, "${bindir}": "/usr/bin", "${nonarch_libdir}": "/usr/lib", "${sysconfdir}": "/etc",
		"${localstatedir}": "/var", "${systemd_system_unitdir}": "/usr/lib/systemd/system", " -o posdx": "", " -g posdx": ""}
	for k, v := range fill {
		body = strings.ReplaceAll(body, k, v)
	}
	if strings.Contains(body, "${") {
		t.Fatalf("variables of the recipe that nobody knows:\n%s", body)
	}
	if out, err := exec.Command("sh", "-ec", body).CombinedOutput(); err != nil {
		t.Fatalf("yocto: %v\n%s", err, out)
	}
	check("yocto", yocto)
	if !slices.Contains(files, "first.toml") {
		t.Error("the list of files was not read")
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}
