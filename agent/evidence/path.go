package evidence

// paths looks at loss and delay. Loss to two unrelated places is the line; loss to one alone is that place.
func (r *Reading) paths() {
	list := r.All(NetPath)
	var lossy, slow, clean []*Item
	var fast *Item
	for i := range list {
		it := &list[i]
		if it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
			continue
		}
		loss, lag := r.lost(it), it.shows("path.slow-some")
		if it.Target == "gateway" {
			r.add("path.gateway-loss", it, loss)
			continue
		}
		_, timed := it.num(RTTMS)
		all, lossKnown := it.num(LossPct)
		switch {
		case loss > 0:
			lossy = append(lossy, it)
		case lag > 0.5 || lossKnown && all >= allLost:
		case lossKnown || !it.Bad():
			clean = append(clean, it)
		}
		if lag > 0.5 || it.shows("path.slow") > 0 {
			slow = append(slow, it)
		} else if timed {
			fast = it
		}
	}
	for _, it := range lossy {
		loss := r.lost(it)
		switch {
		case len(lossy) >= 2:
			r.add("path.loss-all", it, loss)
		case len(clean) > 0 && it.IsHost():
			r.add("path.loss-host", it, loss)
		default:
			r.add("path.loss", it, loss)
		}
	}
	for _, it := range slow {
		clear := choose(len(clean) > 0, 0.5, 1)
		r.add("path.slow", it, clear*it.shows("path.slow"))
		r.add("path.slow-some", it, clear*it.shows("path.slow-some")*(1-it.shows("path.slow")))
	}
	switch {
	case len(lossy)+len(slow) == 0 && len(clean) > 0:
		r.add("path.ok", clean[0], choose(clean[0].Bad(), 0, 1))
	case len(slow) == 0 && fast != nil:
		r.add("path.fast", fast, 1)
	}
}

// lost is how strongly an item shows loss. Where connections work, pings that are all lost are dropped on purpose: the
// nearer the loss comes to all of them, the less it says.
func (r *Reading) lost(it *Item) float64 {
	clear := it.shows("path.loss")
	if loss, _ := it.num(LossPct); clear > 0 && r.alive(it) {
		clear *= ramp(loss, 100, pingsDropped)
	}
	if clear == 0 && it.Bad() && it.shows("path.slow") == 0 && !r.alive(it) {
		return 0.4 // so whoever sent it says
	}
	return clear
}

// alive tells whether a connection to the pinged place works.
func (r *Reading) alive(path *Item) bool {
	for _, check := range [...]Check{NetTCP, NetInternet, NetTLS} {
		list := r.All(check)
		for i := range list {
			if !list[i].Bad() && list[i].IsHost() == path.IsHost() {
				return true
			}
		}
	}
	return false
}
