// Package nettrial tries the network checks end to end: a fault is really made in namespaces, the checks look, and the
// diagnosis is judged. It holds tests alone.
package nettrial
