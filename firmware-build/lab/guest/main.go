// The command guest measures posdx on a real ARM kernel. On this machine it packs a kernel's first file system from
// itself and the ARM build of posdx and boots it in qemu; in there, as the first process, it runs posdx as a service,
// measures it from outside and switches the machine off. Figures of memory are the kernel's own; those of time are an
// emulator's and only good for comparison.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// budgets are what the guest's figures must not pass, in kB. What is the process's own cannot be dropped by the kernel:
// that is what the terminal really gives. The rest of the resident size is the program's file, which here is wholly in
// memory already and so is mapped 64 kB at a time around every page that is read; it is bounded by the size of the file
// and must let everything work under a limit of 12 MiB.
func budgets() map[string]int {
	return map[string]int{"own_idle_kb": 3 << 10, "own_diagnosing_kb": 5 << 10, "rss_idle_kb": 12 << 10, "rss_diagnosing_kb": 13 << 10}
}

// mark begins every line of the guest that holds a figure.
const mark = "guest: "

func main() {
	if os.Getpid() == 1 {
		inside()
		return
	}
	kernel := flag.String("kernel", "", "a kernel image for ARMv7 (`vmlinuz`)")
	self := flag.String("init", "", "this `program`, built for GOARM=7")
	posdx := flag.String("posdx", "", "the `program` to measure, built for GOARM=7")
	limit := flag.Duration("limit", 10*time.Minute, "how long it may take")
	flag.Parse()
	if err := boot(*kernel, *self, *posdx, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// boot runs the guest and judges what it says.
func boot(kernel, self, posdx string, limit time.Duration) error {
	image, err := os.CreateTemp("", "posdx-guest-*.cpio")
	if err != nil {
		return err
	}
	defer os.Remove(image.Name())
	err = pack(image, map[string]string{"init": self, "bin/posdx": posdx})
	if e := image.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// Without highmem=off this machine's PCI bus lies where a 32-bit kernel cannot see it.
	q := exec.CommandContext(ctx, "qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "128", "-display", "none", "-no-reboot",
		"-monitor", "none", "-nic", "none", "-kernel", kernel, "-initrd", image.Name(), "-append", "console=ttyAMA0 quiet panic=1", "-serial", "stdio")
	q.Stderr = os.Stderr
	out, err := q.StdoutPipe()
	if err != nil {
		return err
	}
	if err := q.Start(); err != nil {
		return err
	}
	figures, last := map[string]string{}, []string{}
	for s := bufio.NewScanner(out); s.Scan(); {
		line := strings.TrimRight(s.Text(), "\r")
		if last = append(last, line); len(last) > 20 {
			last = last[1:]
		}
		if rest, ok := strings.CutPrefix(line, mark); ok {
			fmt.Println(rest)
			if key, value, ok := strings.Cut(rest, " "); ok {
				figures[key] = value
			}
		}
	}
	if err := q.Wait(); err != nil {
		return fmt.Errorf("qemu: %w: %s", err, strings.Join(last, " | "))
	}
	return judge(figures, last)
}

// judge holds the guest's figures against the budgets.
func judge(figures map[string]string, last []string) error {
	if figures["done"] == "" {
		return fmt.Errorf("the guest ended early: %s", strings.Join(last, " | "))
	}
	for key, budget := range budgets() {
		if n, err := strconv.Atoi(figures[key]); err != nil || n <= 0 {
			return fmt.Errorf("%s: got %q", key, figures[key])
		} else if n > budget {
			return fmt.Errorf("%s: %d, want at most %d", key, n, budget)
		}
	}
	return nil
}

// pack writes a file system for the kernel to begin with (Documentation/driver-api/early-userspace/buffer-format.rst,
// newc): folders, a console, and programs.
func pack(w io.Writer, programs map[string]string) error {
	ino := 0
	entry := func(name string, mode, size, major, minor int) error {
		ino++
		_, err := fmt.Fprintf(w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00%s",
			ino, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name)+1, 0, name, pad(110+len(name)+1))
		return err
	}
	for _, d := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp", "var"} {
		if err := entry(d, 0o040755, 0, 0, 0); err != nil {
			return err
		}
	}
	if err := entry("dev/console", 0o020600, 0, 5, 1); err != nil {
		return err
	}
	for name, from := range programs {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := entry(name, 0o100755, len(b), 0, 0); err != nil {
			return err
		}
		if _, err := io.WriteString(w, string(b)+pad(len(b))); err != nil {
			return err
		}
	}
	return entry("TRAILER!!!", 0, 0, 0, 0)
}

// pad fills up to a multiple of four.
func pad(n int) string { return "\x00\x00\x00"[:(4-n%4)%4] }
