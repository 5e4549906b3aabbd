// Package nettrial tests the network checks end to end: a fault is made in network namespaces, the checks run, and the
// diagnosis is compared with the fault. It holds tests only.
package nettrial
