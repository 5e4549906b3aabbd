package evidence

// storage says that there is room everywhere, or nothing.
func (r *Reading) storage() { r.unanimous("storage.ok", BoardStorage) }

// load says that neither processor nor memory starves the payment program.
func (r *Reading) load() { r.unanimous("load.ok", BoardMemory, BoardCPU) }

// unanimous adds good news as far as the worst of several looks bears it out.
func (r *Reading) unanimous(finding string, checks ...Check) {
	var witness *Item
	least := 1.0
	for _, c := range checks {
		list := r.All(c)
		for i := range list {
			if s := list[i].shows(finding) * list[i].Fresh; witness == nil || s < least {
				witness, least = &list[i], s
			}
		}
	}
	if witness != nil {
		r.put(finding, witness, witness.Facts, least)
	}
}

// firstYear is the year before which no terminal that runs this program was started.
const firstYear = 2024

// clockOfEvent reads the clock from the event's own time where nobody looked at the clock.
func (r *Reading) clockOfEvent() {
	if ev := r.sale.Event; r.First(BoardClock) == nil && !ev.ClockTrusted && !ev.Time.IsZero() && ev.Time.Year() < firstYear {
		r.put("clock.untrusted", nil, nil, 1)
	}
}
