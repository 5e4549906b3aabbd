package board

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"time"
)

// Thermal is the heat of the processor, or of the hottest sensor of a board that has none there.
type Thermal struct {
	Zone      string // its name, in the driver's words
	Celsius   float64
	Critical  float64 // at which the kernel switches off; 0: not known
	Throttled bool    // the processor is held back because of it
}

// Bounds of a reading that can be believed.
const (
	hottest = 200 // of a limit that a driver names
	maxTrip = 12  // THERMAL_MAX_TRIPS of the kernel
	// warm is from where a reading is looked at again: a passing one is a glitch of the bus or the converter.
	warm       = 70
	looks      = 3
	secondLook = 40 * time.Millisecond
	// apart is by how much sensors of one chip can differ.
	apart = 40
	// overCritical is how far past its critical point a running machine can be: the kernel switches off there.
	overCritical = 3
)

// A place is where a sensor sits. It decides what the sensor can tell and which readings it can have.
type place byte

const (
	onProcessor place = iota
	onBoard           // or not said
	onBattery
)

// limits are the readings that a working terminal can have. The converters of sensors that are not wired stand at the
// end of their range: 125, 127, -40, -127 and the like.
func (p place) limits() (low, high float64) {
	switch p {
	case onBattery:
		return -25, 75 // lithium cells switch off before
	case onBoard:
		return -35, 105
	}
	return -35, 118 // industrial and automotive parts are specified to a junction of 105 to 125
}

// placeOf reads a driver's name for its sensor.
func placeOf(name string) place {
	name = strings.ToLower(name)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case has("batt", "bms", "-bat"):
		return onBattery
	case has("bts", "tsap", "board", "ambient", "skin", "quiet", "pmic", "charger", "chg", "usb", "wlan", "wifi", "mdm", "modem", "pa_", "xo-", "xo_", "emmc", "ddr", "lm75", "tmp10", "flash", "camera", "case"):
		return onBoard
	case has("cpu", "soc", "tsens", "core", "cluster", "imx_thermal", "x86_pkg", "bcm2", "rcar", "exynos", "sun8i", "armada", "apss", "a53", "a7", "thermal-fan", "k10temp"):
		return onProcessor
	}
	return onBoard
}

// A sensor is one thing to read.
type sensor struct {
	name, file string
	place      place
	critical   float64
	celsius    float64
	moves      bool // it said something else at a second look
}

// ReadThermal reads the thermal zones and the cooling devices, or the monitoring chips of a board without zones. A
// reading is believed if it is one that a working terminal can have; a high one is read again. The sensors of the
// processor are preferred, since others need not be connected. The error is ErrSilent if there are sensors and none
// gives a reading that can be believed.
func ReadThermal(root fs.FS) (Thermal, error) {
	entries, tried := list(root, "sys/class/thermal")
	var zones []sensor
	var t Thermal
	for _, d := range entries {
		switch base := d[strings.LastIndexByte(d, '/')+1:]; {
		case strings.HasPrefix(base, "thermal_zone"):
			name, _ := read(root, d+"/type")
			zones = append(zones, sensor{name: name, file: d + "/temp", place: placeOf(name), critical: critical(root, d)})
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
	for _, group := range [][]sensor{zones, monitors(root)} {
		s, err := hottestOf(root, group)
		if err == nil {
			t.Zone, t.Celsius, t.Critical = s.name, s.celsius, s.critical
			return t, nil
		}
		if len(group) > 0 && !errors.Is(err, fs.ErrNotExist) {
			tried = err
		}
	}
	if tried != nil && !errors.Is(tried, fs.ErrNotExist) {
		return Thermal{}, tried
	}
	return Thermal{}, fmt.Errorf("read thermal zones: %w", fs.ErrNotExist)
}

// hottestOf reads sensors and returns the hottest of those whose readings count. Warm ones are read again, and those of
// the processor whose reading is impossible, which some drivers return now and then. All are read again together, so
// that many sensors take no longer than one.
func hottestOf(root fs.FS, all []sensor) (sensor, error) {
	tried := fmt.Errorf("read thermal zones: %w", fs.ErrNotExist)
	seen := make([][]float64, len(all))
	again := make([]bool, len(all))
	for look := range looks {
		if look > 0 {
			if !slices.Contains(again, true) {
				break
			}
			time.Sleep(secondLook)
		}
		for i, s := range all {
			if look > 0 && !again[i] {
				continue
			}
			c, err := s.once(root)
			if err != nil {
				tried = err
				again[i] = again[i] || errors.Is(err, ErrSilent) && s.place == onProcessor
				continue
			}
			seen[i] = append(seen[i], c)
			again[i] = again[i] || c >= warm
		}
	}
	var good []sensor
	for i, s := range all {
		if len(seen[i]) == 0 {
			continue
		}
		sort.Sort(sort.Float64Slice(seen[i])) // slices.Sort of floats would be 5 kB more code, for these alone
		s.celsius, s.moves = seen[i][(len(seen[i])-1)/2], seen[i][0] != seen[i][len(seen[i])-1]
		good = append(good, s)
	}
	// The processor's own sensors, or those that there are.
	if slices.ContainsFunc(good, func(s sensor) bool { return s.place == onProcessor }) {
		good = slices.DeleteFunc(good, func(s sensor) bool { return s.place != onProcessor })
	}
	sort.SliceStable(good, func(i, j int) bool { return good[i].celsius > good[j].celsius })
	// One that stands alone far above the others of its chip and does not move is not wired, if the others are several; of
	// two nobody can tell which.
	for len(good) > 1 && good[0].place == onProcessor && !good[0].moves && good[0].celsius-good[1].celsius > apart {
		tried = fmt.Errorf("read %s: %w", good[0].file, ErrSilent)
		if len(good) == 2 {
			return sensor{}, tried
		}
		good = good[1:]
	}
	if len(good) == 0 {
		return sensor{}, tried
	}
	return good[0], nil
}

// once reads a sensor, in the unit in which its reading can be one: thousandths of a degree (sysfs-api.rst), and in
// makers' old drivers whole degrees or tenths.
func (s sensor) once(root fs.FS) (float64, error) {
	n, err := number(root, s.file)
	if err != nil {
		return 0, err
	}
	for _, unit := range []float64{1000, 1, 10} {
		c := float64(n) / unit
		switch {
		case unit == 1000 && n > -1000 && n < 1000: // less than a degree: another unit, or nothing
			continue
		case n != 0 && s.believed(c) && (unit != 10 || c < warm): // 900 may be just above freezing
			return c, nil
		case unit == 1000:
			return 0, fmt.Errorf("read %s: %w", s.file, ErrSilent)
		}
	}
	return 0, fmt.Errorf("read %s: %w", s.file, ErrSilent)
}

func (s sensor) believed(c float64) bool {
	low, high := s.place.limits()
	return c >= low && c <= high && (s.critical == 0 || c <= s.critical+overCritical)
}

// monitors are the sensors of the monitoring chips (Documentation/hwmon/sysfs-interface.rst: thousandths of a degree).
func monitors(root fs.FS) (all []sensor) {
	chips, err := list(root, "sys/class/hwmon")
	if err != nil {
		return nil
	}
	for _, d := range chips {
		files, err := list(root, d)
		if err != nil {
			continue
		}
		name, _ := read(root, d+"/name")
		for _, f := range files {
			if base := f[strings.LastIndexByte(f, '/')+1:]; !strings.HasPrefix(base, "temp") || !strings.HasSuffix(base, "_input") {
				continue
			}
			stem := strings.TrimSuffix(f, "_input")
			if fault, err := number(root, stem+"_fault"); err == nil && fault == 1 {
				continue
			}
			s := sensor{name: name, file: f}
			label, _ := read(root, stem+"_label")
			s.place = placeOf(name + " " + label)
			if limit, err := number(root, stem+"_crit"); err == nil && limit > 0 && limit < hottest*1000 {
				s.critical = float64(limit) / 1000
			}
			all = append(all, s)
		}
	}
	return all
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
