package main

import "context"

// connect makes the way to the fleet; run is nil without a broker.
func connect(c config, d *daemon) (fleetLink, func(context.Context) error, error) {
	return nil, nil, nil
}
