package board

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Thermal is the heat of the hottest zone.
type Thermal struct {
	Zone      string // its name, in the driver's words
	Celsius   float64
	Critical  float64 // at which the kernel switches off; 0: not known
	Throttled bool    // the processor is held back because of it
}

// Readings outside these are a sensor that is not there.
const (
	coldest = -60
	hottest = 200
	maxTrip = 12 // THERMAL_MAX_TRIPS of the kernel
)

// ReadThermal reads the thermal zones and the cooling devices, or the monitoring chips of a board without zones.
func ReadThermal(root fs.FS) (Thermal, error) {
	entries, tried := list(root, "sys/class/thermal")
	var t Thermal
	found := false
	for _, d := range entries {
		switch base := d[strings.LastIndexByte(d, '/')+1:]; {
		case strings.HasPrefix(base, "thermal_zone"):
			n, err := number(root, d+"/temp")
			if err != nil {
				tried = err
				continue
			}
			c := float64(n) / 1000
			if n > -hottest && n < hottest { // some vendors' old drivers give whole degrees
				c = float64(n)
			}
			if n == 0 || c < coldest || c > hottest {
				tried = fmt.Errorf("read %s: %w", d, ErrSilent)
				continue
			}
			if !found || c > t.Celsius {
				t.Celsius, found = c, true
				t.Zone, _ = read(root, d+"/type")
				t.Critical = critical(root, d)
			}
		case strings.HasPrefix(base, "cooling_device"):
			kind, err := read(root, d+"/type")
			kind = strings.ToLower(kind)
			if err != nil || !strings.Contains(kind, "cpu") && !strings.Contains(kind, "processor") {
				continue
			}
			if n, err := number(root, d+"/cur_state"); err == nil && n > 0 {
				t.Throttled = true
			}
		}
	}
	if !found {
		t, found = sensors(root)
	}
	switch {
	case found:
		return t, nil
	case tried != nil && !errors.Is(tried, fs.ErrNotExist):
		return Thermal{}, tried
	}
	return Thermal{}, fmt.Errorf("read thermal zones: %w", fs.ErrNotExist)
}

// sensors finds the hottest of the monitoring chips, for boards without thermal zones
// (Documentation/hwmon/sysfs-interface.rst: thousandths of a degree).
func sensors(root fs.FS) (t Thermal, found bool) {
	chips, err := list(root, "sys/class/hwmon")
	if err != nil {
		return t, false
	}
	for _, d := range chips {
		files, err := list(root, d)
		if err != nil {
			continue
		}
		for _, f := range files {
			if base := f[strings.LastIndexByte(f, '/')+1:]; !strings.HasPrefix(base, "temp") || !strings.HasSuffix(base, "_input") {
				continue
			}
			n, err := number(root, f)
			c := float64(n) / 1000
			if err != nil || n == 0 || c < coldest || c > hottest || found && c <= t.Celsius {
				continue
			}
			t.Celsius, found = c, true
			t.Zone, _ = read(root, d+"/name")
			t.Critical = 0
			if limit, err := number(root, strings.TrimSuffix(f, "_input")+"_crit"); err == nil && limit > 0 && limit < hottest*1000 {
				t.Critical = float64(limit) / 1000
			}
		}
	}
	return t, found
}

func critical(root fs.FS, zone string) float64 {
	for i := range maxTrip {
		trip := fmt.Sprintf("%s/trip_point_%d_", zone, i)
		kind, err := read(root, trip+"type")
		if err != nil {
			return 0
		}
		if kind != "critical" {
			continue
		}
		if n, err := number(root, trip+"temp"); err == nil && n > 0 && n < hottest*1000 {
			return float64(n) / 1000
		}
	}
	return 0
}
