//go:build bootstrap

package codes

// The generator is built without its own product, so that it can be run when the types have changed.
var builtin Knowledge
