package evidence

// storage adds the finding storage.ok if every watched file system has room, and nothing if one of them has not.
func (r *Reading) storage() { r.unanimous("storage.ok", BoardStorage) }

// load adds the finding load.ok if neither processor nor memory is short. That the processor is busy harms nobody by
// itself: programs that stood still meanwhile do.
func (r *Reading) load() {
	r.unanimous("load.ok", BoardMemory, BoardCPU)
	if it := r.First(BoardKernel); it != nil {
		r.add("load.hurts", it, it.shows("kernel.hung")*r.most("cpu.high"))
	}
}

// lookedAtHalf is what is left of good news where one of two things that run short was not looked at: of the terminals
// that are short of one, half look like this. Three decibans, of the thirteen of a moderate finding.
const lookedAtHalf = 0.25

// unanimous adds a good finding with the lowest strength that any of several items gives it: one bad look takes it
// away, and a look that was not made most of it.
func (r *Reading) unanimous(finding string, checks ...Check) {
	var witness *Item
	least := 1.0
	for _, c := range checks {
		list := r.All(c)
		if len(list) == 0 {
			least = lookedAtHalf
		}
		for i := range list {
			if s := list[i].shows(finding) * list[i].Fresh; witness == nil || s < least {
				witness, least = &list[i], min(s, least)
			}
		}
	}
	if witness != nil {
		r.put(finding, witness, witness.Facts, least)
	}
}

// firstYear is the year before which no terminal that runs this program was started.
const firstYear = 2024

// turnSlack is the most, in seconds, by which two ages in one piece of evidence may differ that speak of the same
// moment.
const turnSlack = 2

// turned reads whether it began with a day that software is known to stumble over: approvals before it, none since, and
// the code first seen after it. A clock that is wrong is another story.
func (r *Reading) turned() {
	it, h := r.First(BoardClock), r.First(TxnHistory)
	if it == nil || h == nil || it.Bad() || it.str(Turn) == "" {
		return
	}
	age, known := it.num(TurnAgeS)
	first, firstKnown := h.num(FirstSeenAgeS)
	last, approved := h.num(LastApprovalAgeS)
	same, _ := h.num(SameCode1h)
	age += float64(it.AgeMS) / 1000
	if !known || !firstKnown || !approved || first > age+turnSlack || last < age {
		return
	}
	// The sooner after the turn it began, and the sooner before it all was well, the less it is chance.
	near := Ramp(age-first, day, hour) * Ramp(last-age, 3*day, day)
	r.put("date.turn", it, it.Facts, h.Fresh*near*Ramp(same, 1, 3))
}

// clockOfEvent reads the clock from the event's own time where nobody looked at the clock.
func (r *Reading) clockOfEvent() {
	if ev := r.sale.Event; r.First(BoardClock) == nil && !ev.ClockTrusted && !ev.Time.IsZero() &&
		ev.Time.Year() < firstYear {
		r.put("clock.untrusted", nil, nil, 1)
	}
}
