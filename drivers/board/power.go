package board

import (
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"
)

// Power is how the board is fed (Documentation/ABI/testing/sysfs-class-power).
type Power struct {
	Source       string // mains or battery
	Millivolts   int    // of what feeds it; 0: not known
	BatteryPct   int
	BatteryKnown bool
	// of the battery, in the kernel's words: Good Overheat Dead "Over voltage" Cold …; empty: not known
	Health       string
	UnderVoltage bool // a voltage monitor says so now
}

// ReadPower reads the power supplies. The error is fs.ErrNotExist where the board has no information about its power.
func ReadPower(root fs.FS) (Power, error) {
	dirs, err := list(root, "sys/class/power_supply")
	if err != nil {
		return Power{}, err
	}
	var p Power
	var mains, online, battery, discharging bool
	var mainsMV, batteryMV int
	for _, d := range dirs {
		if scope, _ := read(root, d+"/scope"); scope == "Device" {
			continue // the battery of something plugged in
		}
		kind, err := read(root, d+"/type")
		if err != nil {
			continue
		}
		mv := millivolts(root, d+"/voltage_now")
		if kind != "Battery" {
			mains = true
			if on, err := number(root, d+"/online"); err == nil && on > 0 {
				online = true
				mainsMV = max(mainsMV, mv)
			}
			continue
		}
		if present, err := number(root, d+"/present"); err == nil && present == 0 {
			continue
		}
		battery = true
		batteryMV = max(batteryMV, mv)
		if pct, err := number(root, d+"/capacity"); err == nil && pct >= 0 && pct <= 100 && (pct > emptyPct || mv < chargedMV) {
			p.BatteryPct, p.BatteryKnown = int(pct), true
		}
		if s, err := read(root, d+"/status"); err == nil {
			discharging = discharging || s == "Discharging"
			// A battery that is charging or full is fed by something, even if that has no entry of its own.
			online = online || s == "Charging" || s == "Full"
		}
		if h, err := read(root, d+"/health"); err == nil && h != "Unknown" && len(h) <= 32 && believedHealth(root, d, h) {
			p.Health = h
		}
	}
	switch {
	case online && !discharging, mains && online:
		p.Source, p.Millivolts = "mains", mainsMV
	case battery && (discharging || mains):
		p.Source, p.Millivolts = "battery", batteryMV
	case !mains && !battery:
		return Power{}, fmt.Errorf("read power: %w", fs.ErrNotExist)
	case battery:
		p.Millivolts = batteryMV
	}
	p.UnderVoltage = alarms(root)
	if p.Source == "" && !p.UnderVoltage {
		return p, fmt.Errorf("read power source: %w", ErrSilent)
	}
	return p, nil
}

// A gauge that has lost its table says that a cell is empty whose voltage is that of a charged one: the charge is not
// known then. Lithium cells in use are above 4 V only with more than three quarters left.
const (
	emptyPct  = 10
	chargedMV = 4000
)

// believedHealth is false for a health that follows from a temperature which no battery can have: a charger whose
// sensor is not wired calls its battery cold, or hot.
func believedHealth(root fs.FS, dir, health string) bool {
	switch health {
	case "Cold", "Cool", "Overheat", "Hot", "Warm":
	default:
		return true
	}
	t, err := number(root, dir+"/temp") // tenths of a degree
	low, high := onBattery.limits()
	return err != nil || float64(t) >= 10*low && float64(t) <= 10*high+100
}

// Supplies that a terminal can have: a lithium cell, five volts, a vehicle's 24.
const leastMV, mostMV = 2500, 60_000

// millivolts reads a voltage, given in microvolts or, by some makers' drivers, in millivolts; 0 if the value cannot be
// the supply of a machine. It takes the middle of three readings, because a single one may be an outlier.
func millivolts(root fs.FS, name string) int {
	var seen []int
	for i := range looks {
		n, err := number(root, name)
		if err != nil {
			return 0
		}
		switch {
		case n >= leastMV*1000 && n <= mostMV*1000:
			seen = append(seen, int(n/1000))
		case n >= leastMV && n <= mostMV:
			seen = append(seen, int(n))
		}
		if i == 0 && len(seen) == 1 && (seen[0] < supplyLow[0] || seen[0] >= supplyLow[1]) {
			return seen[0] // nothing hangs on it
		}
		if i < looks-1 {
			time.Sleep(secondLook)
		}
	}
	if len(seen) < looks-1 {
		return 0
	}
	sort.Slice(seen, func(i, j int) bool { return seen[i] < seen[j] }) // less code than slices.Sort, compiled per type
	return seen[len(seen)/2]
}

// supplyLow is where a supply of five volts is looked at again: below, it would be called low.
var supplyLow = [2]int{4000, 4750}

// alarms asks the voltage monitors (Documentation/hwmon/sysfs-interface.rst; on a Raspberry Pi it is rpi_volt).
func alarms(root fs.FS) bool {
	dirs, err := list(root, "sys/class/hwmon")
	if err != nil {
		return false
	}
	for _, d := range dirs {
		files, err := list(root, d)
		if err != nil {
			continue
		}
		for _, f := range files {
			if !strings.HasSuffix(f, "_lcrit_alarm") || !strings.Contains(f, "/in") {
				continue
			}
			if n, err := number(root, f); err == nil && n == 1 {
				return true
			}
		}
	}
	return false
}
