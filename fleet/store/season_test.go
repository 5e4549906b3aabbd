package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What is added to a value of a day adds up, hours and the base rate's own rows stay apart, and what is over goes.
func TestTheBaseRateByValue(t *testing.T) {
	for name, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "fleet.db"),
		"postgres": ""} {
		t.Run(name, func(t *testing.T) {
			if address == "" {
				address = Postgres(t)
			}
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC)
			day := now.Unix() / 3600 / 24 * 24
			row := func(cause, dim, value string, hour int64, n float64) SeasonRow {
				return SeasonRow{Estate: "shop", Cause: cause, Dim: dim, Value: value, Hour: hour, Terminals: n}
			}
			for hour := range int64(3) {
				err := s.AddSeason(t.Context(), []SeasonRow{
					{Estate: "shop", Hour: day + hour, Active: 40}, row("c", "", "", day+hour, 4), row("c", DimBeyond, "", day+hour, 1),
					row("c", "carrier", "中国移动", day, 1.5), row("c", "carrier", "中国联通", day, float64(hour)),
					row("idle", "site@sales", "site-1", day+hour, 3), row("c", "carrier", "中国移动", day-48*24, 9),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]float64{}
			rows := 0
			read := func() {
				clear(got)
				rows = 0
				if err := s.Seasons(t.Context(), now.Add(-24*time.Hour), func(r SeasonRow) {
					rows++
					got[fmt.Sprint(r.Cause, " ", r.Dim, " ", r.Value)] += r.Terminals + r.Active
				}); err != nil {
					t.Fatal(err)
				}
			}
			read()
			want := map[string]float64{"  ": 120, "c  ": 12, "c " + DimBeyond + " ": 3, "c carrier 中国移动": 4.5,
				"c carrier 中国联通": 3, "idle site@sales site-1": 9}
			if !maps.Equal(got, want) || rows != 14 {
				t.Errorf("%d rows, %v, want 14, %v", rows, got, want)
			}
			if _, err := s.Sweep(t.Context(), DefaultLimits, now); err != nil {
				t.Fatal(err)
			}
			var left int
			if err := s.read.QueryRow("SELECT count(*) FROM season_parts").Scan(&left); err != nil || left != 4 {
				t.Errorf("%d rows are left by value, want 4; %v", left, err)
			}
		})
	}
}

// What an earlier release kept by value is brought into today's form: the same numbers are read, a run that was cut
// off is gone on with, and the base rate's own rows stay.
func TestSeasonsOfAnEarlierRelease(t *testing.T) {
	for name, address := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "fleet.db"),
		"postgres": ""} {
		t.Run(name, func(t *testing.T) {
			if address == "" {
				address = Postgres(t)
			}
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			put := func(cause, dim, value string, hour int64, n float64) {
				t.Helper()
				if _, err := s.write.Exec(s.sql("INSERT INTO seasons (estate, cause, dim, value, hour, terminals, active) VALUES ('shop', ?, ?, ?, ?, ?, 0)"),
					cause, dim, value, hour, n); err != nil {
					t.Fatal(err)
				}
			}
			put("c", "", "", 240, 4)
			put("c", DimBeyond, "", 240, 1)
			for _, cause := range []string{"c", "d"} {
				for value := range 40 {
					for day := range int64(3) {
						put(cause, "site", fmt.Sprint("中", value), 240+24*day, float64(value)+0.25)
					}
				}
			}
			// An hour of which this release has told, too.
			today := SeasonRow{Estate: "shop", Cause: "c", Dim: "site", Value: "中1", Hour: 240, Terminals: 2}
			if err := s.AddSeason(t.Context(), []SeasonRow{today}); err != nil {
				t.Fatal(err)
			}
			read := func() map[string]float64 {
				got := map[string]float64{}
				err := s.Seasons(t.Context(), time.Time{}, func(r SeasonRow) {
					got[fmt.Sprint(r.Cause, " ", r.Dim, " ", r.Value, " ", r.Hour)] += r.Terminals
				})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			want := read()
			left := func() (n int) {
				if err := s.read.QueryRow("SELECT count(*) FROM seasons").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			ctx, cut := context.WithCancel(t.Context())
			err = s.PackSeasons(ctx, func(done, of int) {
				if done == 1 {
					cut()
				}
			})
			if err == nil || left() != 122 {
				t.Fatalf("cut off after the first of two it says %v, %d rows are left, want 122", err, left())
			}
			if got := read(); !maps.Equal(got, want) {
				t.Errorf("half of it brought over: %v, want %v", got, want)
			}
			told := 0
			err = s.PackSeasons(t.Context(), func(done, of int) { told = done*10 + of })
			if err != nil || told != 11 || left() != 2 {
				t.Errorf("%v; told %d, %d rows are left, want 2", err, told, left())
			}
			if got := read(); !maps.Equal(got, want) {
				t.Errorf("brought over: %v, want %v", got, want)
			}
			if err := s.PackSeasons(t.Context(), func(int, int) { t.Error("there is nothing to do") }); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzValues: what was packed is read again as it was, and what is damaged is refused.
func FuzzValues(f *testing.F) {
	f.Add(packValues(map[string]float64{"site-1": 3, "中国移动": 0.25, "": 7}))
	f.Add([]byte{})
	f.Add([]byte{2, 4, 5, 'a'})
	f.Fuzz(func(t *testing.T, packed []byte) {
		values := map[string]float64{}
		if unpackValues(packed, func(v []byte, n float64) { values[string(v)] += n }) != nil {
			return
		}
		for v, n := range values {
			if n > 1e12 { // a float holds thousandths of less
				delete(values, v)
			}
		}
		again := packValues(values)
		got := map[string]float64{}
		if err := unpackValues(again, func(v []byte, n float64) { got[string(v)] = n }); err != nil {
			t.Fatal(err)
		}
		for v, n := range values {
			if math.Abs(got[v]-n) > 1e-3 || len(got) != len(values) {
				t.Errorf("%q: %v, was %v", v, got[v], n)
			}
		}
		if !bytes.Equal(packValues(got), again) {
			t.Error("packed anew it is another")
		}
	})
}

// BenchmarkSeasons reads the base rate of five weeks, as a fleet does when it starts, of POSDX_SITES sites (default
// 2000) that sell thirteen hours a day and report four causes.
// go test ./fleet/store -run - -bench Seasons -benchtime 1x
func BenchmarkSeasons(b *testing.B) {
	sites, days := 2000, int64(35)
	fmt.Sscan(os.Getenv("POSDX_SITES"), &sites)
	file := filepath.Join(b.TempDir(), "fleet.db")
	s, err := Open(b.Context(), "sqlite:"+file)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for day := range days {
		for h := range int64(24) {
			rows := []SeasonRow{{Estate: "shop", Hour: day*24 + h, Active: float64(3 * sites)}}
			for k := range sites {
				site := fmt.Sprintf("site-%05d", k)
				if h >= 8 && h < 21 {
					rows = append(rows, SeasonRow{Estate: "shop", Cause: "idle", Dim: "site@sales", Value: site, Hour: day*24 + h,
						Terminals: 3})
				}
				if h == 20 {
					for _, cause := range []string{"", "account.funds", "account.pin", "issuer.declined", "card.damaged"} {
						rows = append(rows, SeasonRow{Estate: "shop", Cause: cause, Dim: "site", Value: site, Hour: day * 24, Terminals: 1})
					}
				}
			}
			if err := s.AddSeason(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
		}
	}
	rows := 0
	for b.Loop() {
		rows = 0
		if err := s.Seasons(b.Context(), time.Time{}, func(SeasonRow) { rows++ }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows), "values")
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}
