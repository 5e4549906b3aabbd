package noisyor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A network is a Bayesian network of two-valued nodes, parents first.
type network struct {
	Faults, Findings, Context []string
	Nodes                     []struct {
		Name            string
		States, Parents []string
		Table           []struct {
			Given []string
			P     []float64
		}
	}
	index   map[string]int
	parents [][]int
	tables  []factor
}

// A factor is a table over variables: the value of variable i is bit i of the row's number.
type factor struct {
	vars []int
	p    []float64
}

// readJSON reads a file of the yardstick.
func readJSON(dir, name string, into any) error {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func readNetwork(dir string) (*network, error) {
	n := &network{index: map[string]int{}}
	if err := readJSON(dir, "printer-network.json", n); err != nil {
		return nil, err
	}
	for i, x := range n.Nodes {
		if len(x.States) != 2 {
			return nil, fmt.Errorf("node %s has %d states, want 2", x.Name, len(x.States))
		}
		n.index[x.Name] = i
		f := factor{p: make([]float64, 2<<len(x.Parents))}
		for _, p := range x.Parents {
			f.vars = append(f.vars, n.index[p])
		}
		f.vars = append(f.vars, i)
		n.parents = append(n.parents, f.vars[:len(x.Parents)])
		for _, row := range x.Table {
			at := 0
			for j, g := range row.Given {
				at |= n.state(f.vars[j], g) << j
			}
			for v, p := range row.P {
				f.p[at|v<<len(x.Parents)] = p
			}
		}
		n.tables = append(n.tables, f)
	}
	return n, nil
}

func (n *network) state(node int, name string) int { return slices.Index(n.Nodes[node].States, name) }

// probability returns P(the given values of the given nodes), by variable elimination over the nodes that matter.
func (n *network) probability(given map[int]int) float64 {
	need := map[int]bool{}
	var visit func(int)
	visit = func(x int) {
		if !need[x] {
			need[x] = true
			for _, p := range n.parents[x] {
				visit(p)
			}
		}
	}
	for x := range given {
		visit(x)
	}
	var list []factor
	var hidden []int
	for x := range n.Nodes {
		if !need[x] {
			continue
		}
		list = append(list, n.tables[x].reduce(given))
		if _, seen := given[x]; !seen {
			hidden = append(hidden, x)
		}
	}
	for len(hidden) > 0 {
		best, size := 0, 1<<30
		for i, x := range hidden {
			if s := len(union(list, x)); s < size {
				best, size = i, s
			}
		}
		x := hidden[best]
		hidden = slices.Delete(hidden, best, best+1)
		var with, rest []factor
		for _, f := range list {
			if slices.Contains(f.vars, x) {
				with = append(with, f)
			} else {
				rest = append(rest, f)
			}
		}
		list = append(rest, sumOut(with, x))
	}
	p := 1.0
	for _, f := range list {
		p *= f.p[0]
	}
	return p
}

func (f factor) reduce(given map[int]int) factor {
	fixed, value := 0, 0
	var g factor
	for i, x := range f.vars {
		if v, ok := given[x]; ok {
			fixed |= 1 << i
			value |= v << i
		} else {
			g.vars = append(g.vars, x)
		}
	}
	for at, p := range f.p {
		if at&fixed == value {
			g.p = append(g.p, p)
		}
	}
	return g
}

func union(list []factor, x int) []int {
	var vars []int
	for _, f := range list {
		if slices.Contains(f.vars, x) {
			vars = append(vars, f.vars...)
		}
	}
	slices.Sort(vars)
	return slices.Compact(vars)
}

func sumOut(list []factor, x int) factor {
	vars := union(list, x)
	place := slices.Index(vars, x)
	out := factor{vars: slices.Delete(slices.Clone(vars), place, place+1), p: make([]float64, 1<<(len(vars)-1))}
	for at := range 1 << len(vars) {
		p := 1.0
		for _, f := range list {
			row := 0
			for i, v := range f.vars {
				j, _ := slices.BinarySearch(vars, v)
				row |= at >> j & 1 << i
			}
			p *= f.p[row]
		}
		low := at & (1<<place - 1)
		out.p[low|at>>(place+1)<<place] += p
	}
	return out
}
