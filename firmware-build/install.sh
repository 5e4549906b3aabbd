#!/bin/sh
# Installs or upgrades posdx from this folder; see setup.
exec "$(dirname "$0")/setup" install "$@"
