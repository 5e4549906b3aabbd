package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"

	"posdx/agent/diagnose"
	"posdx/codes"
)

func dump(file string, n int, seed uint64, k *codes.Knowledge) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	parts, err := readFolds(foldTable, k.Inference.Settings)
	if err != nil {
		return err
	}
	var without [folds]codes.Knowledge
	for i := range without {
		without[i] = *k
		without[i].Inference.Settings = parts[i]
	}
	for _, t := range trials(n, seed) {
		d := diagnose.Explain(t.ev, t.evidence, &without[foldOf(&t.fault)], diagnose.Options{Lang: "en"})
		if file == "/tmp/mind/notest.jsonl" {
			if d.Abstained && d.NextTest == nil && t.fault.cause != "unexplained" {
				enc.Encode(map[string]any{"name": kindNames[t.kind] + " " + t.fault.name, "event": t.ev, "evidence": t.evidence})
			}
			continue
		}
		var fs []string
		add := func(format string, a ...any) { fs = append(fs, fmt.Sprintf(format, a...)) }
		add("code=%s/%s", t.ev.Scheme, t.ev.Code)
		add("origin=%s", t.ev.Origin)
		x := t.ev.Txn
		add("mti=%s entry=%s", x.MTI, x.Entry)
		if x.Sent != nil {
			add("sent=%v ans=%v", *x.Sent, *x.HostAnswerSeen)
		} else {
			add("sent=?")
		}
		bucket := func(v float64) string {
			if v == 0 {
				return "0"
			}
			s := ""
			if v < 0 {
				s = "-"
				v = -v
			}
			return fmt.Sprintf("%s%d", s, int(math.Round(3*math.Log2(v))))
		}
		if x.ConnectMS != nil {
			add("connect=%s", bucket(float64(*x.ConnectMS)))
		}
		if x.ResponseMS != nil {
			add("response=%s", bucket(float64(*x.ResponseMS)))
		}
		for _, e := range t.evidence {
			old := ""
			if e.AgeMS > 600_000 {
				old = "old"
			}
			if e.AgeMS > 3600_000 {
				old = "veryold"
			}
			p := e.Check + "|" + e.Subject + "|" + old
			add("%s=%s", p, e.Status)
			for name, v := range e.Facts {
				switch v := v.(type) {
				case float64:
					add("%s.%s=%s", p, name, bucket(v))
				default:
					add("%s.%s=%v", p, name, v)
				}
			}
		}
		sort.Strings(fs)
		signs := map[string]float64{}
		pf, _ := k.Profile("unionpay")
		diagnose.Read(t.ev, t.evidence, k, pf).Findings(func(n string, s float64) { signs[n] = s })
		ok := append([]string{t.fault.cause}, t.fault.also...)
		if t.second != nil {
			ok = append(ok, t.second.cause)
		}
		sec, both := "", 0
		var list, alsos []string
		if t.second != nil {
			sec = t.second.cause
			for _, c := range d.Causes {
				list = append(list, c.ID)
			}
			for _, c := range d.Also {
				alsos = append(alsos, c.ID)
			}
			if (named(&d, t.fault.cause) || besides(&d, t.fault.cause)) && (named(&d, sec) || besides(&d, sec)) {
				both = 1
			}
		}
		if err := enc.Encode(map[string]any{"sec": sec, "both": both, "list": list, "also": alsos, "f": fs, "signs": signs,
			"y": t.fault.cause, "ok": ok, "kind": kindNames[t.kind], "name": t.fault.name, "mech": t.fault.mechanism(),
			"top": d.Causes[0].ID, "p": d.Causes[0].Probability, "abst": d.Abstained, "told": t.told, "wit": witnesses(&d.Causes[0])}); err != nil {
			return err
		}
	}
	return nil
}
