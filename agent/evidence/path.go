package evidence

// A stretch is one measured path: how strongly it shows loss and delay.
type stretch struct {
	*Item
	loss, lag, slow float64
}

func (p stretch) clean() float64 { return (1 - p.loss) * (1 - max(p.lag, p.slow)) }

// paths looks at loss and delay. Loss to two unrelated places is the line; loss to one alone is that place.
func (r *Reading) paths(n reachability) {
	list := r.All(NetPath)
	var all []stretch
	for i := range list {
		it := &list[i]
		if it.Bearer != "" && r.Other(kindOf(it.Bearer)) {
			continue
		}
		p := stretch{it, r.lost(it), it.shows("path.slow-some"), it.shows("path.slow")}
		if it.Target == "gateway" {
			r.add("path.gateway-loss", it, p.loss)
			continue
		}
		all = append(all, p)
	}
	r.losses(all, n)
	for _, p := range all {
		if loss, known := p.num(LossPct); known && loss < pingDoubt && p.IsHost() {
			r.add("path.host-alive", p.Item, 1)
		}
	}
	for i, p := range all {
		others := 0.0
		for j, q := range all {
			if j != i {
				others = max(others, q.clean())
			}
		}
		r.add("path.slow", p.Item, p.slow*(1-others/2))
		r.add("path.slow-some", p.Item, p.lag*(1-p.slow)*(1-others/2))
	}
}

// losses adds what the paths say of loss, and the good news that is left.
func (r *Reading) losses(all []stretch, n reachability) {
	var worst, second, clean *stretch
	for i := range all {
		p := &all[i]
		switch {
		case worst == nil || p.loss > worst.loss:
			worst, second = p, worst
		case second == nil || p.loss > second.loss:
			second = p
		}
		if clean == nil || p.clean() < clean.clean() {
			clean = p
		}
	}
	if worst == nil {
		return
	}
	shared := 0.0
	if second != nil {
		shared = second.loss * second.Fresh
	}
	r.add("path.loss-all", worst.Item, shared)
	loss, _ := worst.num(LossPct)
	// nothing of the host comes back, another place answers: no loss of the line
	elsewhere := 0.0
	if loss >= allLost {
		elsewhere = freshest(n.internetOK)
	}
	if second != nil && second.loss == 0 {
		elsewhere = max(elsewhere, second.Fresh)
	}
	if worst.IsHost() {
		r.add("path.loss-host", worst.Item, (worst.loss-shared)*elsewhere)
	} else {
		elsewhere = 0
	}
	r.add("path.loss", worst.Item, (worst.loss-shared)*(1-elsewhere))
	if loss, known := clean.num(LossPct); known && loss < allLost && !clean.Bad() {
		r.add("path.ok", clean.Item, clean.clean())
	}
	if worst.loss > 0 { // what is lost is another question than what takes long
		if _, timed := worst.num(RTTMS); timed {
			r.add("path.fast", worst.Item, worst.loss*(1-worst.lag))
		}
	}
}

// lost returns how strongly an item shows loss. Where connections work and nearly all pings are lost, some device drops
// pings on purpose, so the strength falls again as the loss nears 100 %.
func (r *Reading) lost(it *Item) float64 {
	clear := it.shows("path.loss")
	if loss, _ := it.num(LossPct); clear > 0 && r.alive(it) {
		clear *= Ramp(loss, 100, pingsDropped)
	}
	if clear == 0 && it.Bad() && it.shows("path.slow") == 0 && !r.alive(it) {
		return 0.4 // its sender calls it bad
	}
	return clear
}

// alive tells whether a connection to the pinged place works.
func (r *Reading) alive(path *Item) bool {
	for _, check := range [...]Check{NetTCP, NetInternet, NetTLS} {
		list := r.All(check)
		for i := range list {
			host := list[i].IsHost() && check != NetInternet
			if !list[i].Bad() && host == path.IsHost() {
				return true
			}
		}
	}
	return false
}
