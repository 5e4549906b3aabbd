package main

import (
	"fmt"

	"posdx/codes"
)

func wdump(k *codes.Knowledge) {
	for i := range k.Inference.Signs {
		s := &k.Inference.Signs[i]
		for _, w := range s.Weights {
			fmt.Printf("%s\t%s\t%s\t%d\t%v\n", s.Name, s.Check, w.Cause, w.Word, s.Tells)
		}
		for _, b := range s.Brought {
			fmt.Printf("%s\t%s\t%s\tB\t%v\n", s.Name, s.Check, b, s.Tells)
		}
	}
}
